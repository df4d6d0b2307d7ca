// A few lines each, in the colour of the text around them.

import { svg } from "./vendor/lit-html/lit-html.js";

const drawn = (paths) => svg`<svg viewBox="0 0 16 16" width="16" height="16" fill="none"
  stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"
  aria-hidden="true">${paths}</svg>`;

export const icons = {
  wordmark: drawn(svg`<path d="M1 10h3l1.2-6 1.8 9L9 2l1.8 11L12 10h3"/>`),
  sun: drawn(
    svg`<circle cx="8" cy="8" r="3"/><path d="M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1"/>`,
  ),
  moon: drawn(svg`<path d="M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z"/>`),
  close: drawn(svg`<path d="m4 4 8 8M12 4l-8 8"/>`),
};
