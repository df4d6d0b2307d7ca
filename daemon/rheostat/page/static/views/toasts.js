// What has just happened, in the corner.

import { icons } from "../icons.js";
import { dismiss, state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";

export function toasts() {
  return html`<div class="toasts" aria-live="polite">
    ${repeat(
      state.toasts,
      (one) => one.id,
      ({ id, title, lines, isBad }) =>
        html`<div class="toast fades ${isBad ? "fails" : ""}" role=${isBad ? "alert" : "status"}>
          <strong>${title}</strong>
          <button class="button plain small" aria-label="Dismiss" @click=${() => dismiss(id)}>
            ${icons.close}
          </button>
          ${
            lines.length
              ? html`<ul>
                  ${lines.map((line) => html`<li>${line}</li>`)}
                </ul>`
              : nothing
          }
        </div>`,
    )}
  </div>`;
}
