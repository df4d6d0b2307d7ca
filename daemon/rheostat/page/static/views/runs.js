// The runs, newest first, branches below what they come from.

import { hashOf } from "../looking.js";
import { count, number } from "../numbers.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";

export function runs() {
  return html`<nav class="runs" aria-label="Runs">
    <h2>${count(state.runs.length)} ${state.runs.length === 1 ? "run" : "runs"}</h2>
    <ul>
      ${repeat(
        inOrder(state.runs),
        ({ run }) => run.name,
        ({ run, depth }) => row(run, depth),
      )}
    </ul>
  </nav>`;
}

/** The runs in the order they are listed in, with their depth below what they come from. */
export function inOrder(all) {
  const names = new Set(all.map((run) => run.name));
  const below = Map.groupBy(all, (run) => (names.has(run.origin?.run) ? run.origin.run : null));
  const walk = (parent, depth) =>
    (below.get(parent) ?? []).flatMap((run) => [{ run, depth }, ...walk(run.name, depth + 1)]);
  return walk(null, 0);
}

function row(run, depth) {
  const isShown = run.name === state.run?.name;
  const { phase } = isShown ? state.run : run;
  return html`<li class=${depth ? `branch-${Math.min(depth, 2)}` : ""}>
    <button
      class="run"
      aria-current=${isShown}
      @click=${() => {
        location.hash = hashOf(run.name);
      }}
    >
      <span class="chip ${phase}" title=${phase}><span class="dot"></span></span>
      <span class="name">${run.name}</span>
      <span class="quiet">${number(run.train_loss, 3)}</span>
      <span class="says">
        <span
          >${phase}${run.origin ? `, ${run.origin.kind} at ${count(run.origin.step)}` : ""}</span
        >
        <span>${count(run.step)}${run.steps ? ` / ${count(run.steps)}` : ""}</span>
      </span>
      ${
        run.steps && phase !== "succeeded"
          ? html`<progress max=${run.steps} .value=${run.step} aria-label="steps done"></progress>`
          : nothing
      }
    </button>
  </li>`;
}
