// The bar on top: whose page it is, whether news comes, who is looking.

import { caller } from "../api.js";
import { icons } from "../icons.js";
import { leave } from "../looking.js";
import { state } from "../state.js";
import { theme, toggle } from "../theme.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { showKeys } from "./keys.js";

const LINES = {
  live: ["Live", "chip active"],
  over: ["At rest", "chip"],
  away: ["No connection", "chip failed"],
};

export function bar() {
  const [words, look] = LINES[state.line];
  return html`<header class="bar">
    <a class="mark" href="#/">${icons.wordmark} Rheostat</a>
    ${
      state.run
        ? html`<span class=${look} role="status"><span class="dot"></span>${words}</span>`
        : nothing
    }
    <div class="right">
      ${state.me ? person() : nothing}
      <button class="button plain wide-only" @click=${showKeys} aria-keyshortcuts="?">
        Keys <kbd>?</kbd>
      </button>
      <button
        class="button plain"
        @click=${toggle}
        aria-label=${theme() === "dark" ? "Light colours" : "Dark colours"}
      >
        ${theme() === "dark" ? icons.sun : icons.moon}
      </button>
    </div>
  </header>`;
}

function person() {
  const { principal, proof } = state.me;
  if (proof === "claim") {
    return html`<label class="quiet wide-only" for="name">You are</label>
      <input
        id="name"
        class="name wide-only"
        size="12"
        maxlength="128"
        .value=${caller.name || principal}
        title="The name that decisions carry. Nobody has to prove one here."
        @change=${(event) => {
          caller.name = event.target.value.trim();
        }}
      />`;
  }
  return html`<span class="wide-only" title="known by ${proof}">${principal}</span> ${
      proof === "token" || proof === "kubernetes"
        ? html`<button class="button plain" @click=${leave}>Log out</button>`
        : nothing
    }`;
}
