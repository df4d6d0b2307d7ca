// Below the charts: the history, the policies, the groups, the checkpoints, what happened.

import { state, update } from "../state.js";
import { html } from "../vendor/lit-html/lit-html.js";
import { checkpoints } from "./checkpoints.js";
import { decisions } from "./decisions.js";
import { events } from "./events.js";
import { groups } from "./groups.js";
import { policies } from "./policies.js";

const TABS = {
  decisions: ["Decisions", decisions, () => state.run.revision],
  policies: ["Policies", policies, () => state.run.snapshot?.policies.length ?? 0],
  groups: ["Groups", groups, () => state.run.groups.length],
  checkpoints: ["Checkpoints", checkpoints, () => state.checkpoints.length],
  events: ["Events", events, () => state.run.events?.length ?? 0],
};

export function tabs() {
  const [, content] = TABS[state.tab];
  return html`<section class="panel">
    <div class="tabs" role="tablist" @keydown=${move}>
      ${Object.entries(TABS).map(([name, [words, , count]]) => {
        const isShown = name === state.tab;
        return html`<button
          role="tab"
          id="tab-${name}"
          aria-selected=${isShown}
          aria-controls="tab"
          tabindex=${isShown ? 0 : -1}
          @click=${() => update({ tab: name })}
        >
          ${words} <span class="quiet">${count()}</span>
        </button>`;
      })}
    </div>
    <div class="tab scrolls" role="tabpanel" id="tab" aria-labelledby="tab-${state.tab}">
      ${content()}
    </div>
  </section>`;
}

function move(event) {
  const direction = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!direction) return;
  const names = Object.keys(TABS);
  const index = (names.indexOf(state.tab) + direction + names.length) % names.length;
  update({ tab: names[index] });
  event.currentTarget.querySelectorAll("[role=tab]")[index].focus();
}
