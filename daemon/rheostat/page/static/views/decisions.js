// The history: everything that somebody or something has decided, the newest first.

import { readOlder } from "../looking.js";
import { kindOf, undone } from "../marks.js";
import { count, moment, number } from "../numbers.js";
import { state, update } from "../state.js";
import { html, nothing, svg } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";

const SHOWN = 200;
let shown = SHOWN;

export function decisions() {
  if (!state.decisions.length) {
    return html`<div class="empty">
      <h2>Nobody has steered this run yet</h2>
      <p>Whatever changes an LR besides the schedule itself is written down here.</p>
      <code>rheostat lr scale ${state.run.name} 0.5 --reason "too noisy"</code>
    </div>`;
  }
  const gone = undone(state.decisions);
  const marked = state.decisions.findIndex((one) => one.revision === state.marked);
  const least = Math.max(0, state.decisions.length - shown);
  const rows = state.decisions.slice(marked >= 0 ? Math.min(marked, least) : least).reverse();
  return html`<table class="table cards">
      <thead>
        <tr>
          <th class="number">Revision</th>
          <th class="number">Step</th>
          <th>Who</th>
          <th>What</th>
          <th>Old → new</th>
          <th>Why</th>
          <th>When</th>
          <th>Hash</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(
          rows,
          (one) => one.revision,
          (one) => row(one, gone.has(one.revision)),
        )}
      </tbody>
    </table>
    ${more(least)}`;
}

function more(least) {
  if (least > 0) {
    return html`<div class="empty">
      <button class="button" @click=${() => show(SHOWN)}>
        Show ${Math.min(SHOWN, least)} more
      </button>
    </div>`;
  }
  if (state.decisions[0].revision > 1) {
    return html`<div class="empty">
      <button class="button" @click=${() => (show(SHOWN), readOlder())}>Read older ones</button>
    </div>`;
  }
  return nothing;
}

function show(further) {
  shown += further;
  update({});
}

function row(decision, isUndone) {
  const moved = decision.groups.filter((group) => group.old !== group.new);
  const isMarked = decision.revision === state.marked;
  return html`<tr
    class="${isMarked ? "is-marked" : ""} ${isUndone ? "is-undone" : ""}"
    title=${isUndone ? "undone by a rollback" : ""}
    @click=${() => update({ marked: isMarked ? null : decision.revision })}
  >
    <td class="number">${decision.revision}</td>
    <td class="number">${count(decision.applied_step)}</td>
    <td>${mark(kindOf(decision))} ${decision.who}</td>
    <td>${decision.what}</td>
    <td class="moves">
      ${moved.slice(0, isMarked ? moved.length : 3).map((group) => move(group, isMarked))}
      ${!isMarked && moved.length > 3 ? html`<div class="quiet">and ${moved.length - 3} more</div>` : nothing}
    </td>
    <td class="why">
      ${decision.reason}
      ${Object.entries(decision.guardrails).map(
        ([rule, text]) =>
          html`<div class="warns" title=${text}>${isMarked ? text : `bent by ${rule}`}</div>`,
      )}
      ${isMarked && decision.hash ? html`<div class="quiet code hash">${decision.hash}</div>` : nothing}
    </td>
    <td class="quiet">${moment(decision.time)}</td>
    <td class="quiet code" title=${decision.hash ?? ""}>${(decision.hash ?? "").slice(0, 8)}</td>
  </tr>`;
}

function move(group, isWhole) {
  const made = [
    `schedule ${number(group.base)}`,
    ...Object.entries(group.factors).map(([policy, factor]) => `${policy} ${number(factor)}`),
    `operator ${number(group.operator)}`,
  ];
  return html`<div>
    ${state.run.groups.length > 1 ? group.name : nothing} ${number(group.old)} →
    ${number(group.new)}
    ${
      isWhole
        ? html`<div class="quiet">
            ${group.hold == null ? made.join(" × ") : `held at ${number(group.hold)}; without: ${made.join(" × ")}`}
          </div>`
        : nothing
    }
  </div>`;
}

/** The shape that stands for a kind of decision on the curves. */
export function mark(kind) {
  const shapes = {
    policy: svg`<circle cx="5" cy="5" r="4"/>`,
    guardrail: svg`<path d="M1.4 1.4h7.2v7.2H1.4z"/>`,
    rollback: svg`<path d="M9 1 1 5l8 4z"/>`,
    expiry: svg`<path d="m5 .6 4.4 4.4L5 9.4.6 5z"/>`,
  };
  return html`<svg
    class="mark-${kind}"
    viewBox="0 0 10 10"
    width="9"
    height="9"
    fill="currentColor"
    aria-hidden="true"
  >
    ${shapes[kind] ?? svg`<path d="M.8 1h8.4L5 9.2z"/>`}
  </svg>`;
}
