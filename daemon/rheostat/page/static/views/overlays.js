// What is drawn over a run, and what could be.

import { overlay } from "../looking.js";
import { count } from "../numbers.js";
import { lookOfOverlay } from "../pictures.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { swatch } from "./legends.js";

/** What can be drawn over the run: its branches, other runs, and what rollbacks have undone. */
export function overlays() {
  const gone = state.decisions.filter((one) => one.rollback).slice(-6);
  const all = state.runs.filter((run) => run.name !== state.run.name && run.step > 0);
  const isKin = (run) =>
    run.origin?.run === state.run.name ||
    state.run.origin?.run === run.name ||
    (run.origin && run.origin.run === state.run.origin?.run);
  const kin = all.filter(isKin);
  const rest = all.filter((run) => !isKin(run));
  if (!gone.length && !all.length) return nothing;
  const press = (name, source, words) =>
    html`<li>
      <button aria-pressed=${Boolean(state.overlays[name])} @click=${() => overlay(name, source)}>
        ${state.overlays[name] ? swatch(lookOfOverlay(name)) : nothing} ${words}
      </button>
    </li>`;
  const chosen = rest.filter((run) => state.overlays[run.name]);
  return html`<ul class="legend" aria-label="Draw over it">
    <li class="quiet">Draw over it</li>
    ${[...kin, ...chosen].map((run) =>
      press(
        run.name,
        { run: run.name },
        `${run.name}${run.origin && isKin(run) ? ` (${run.origin.kind})` : ""}`,
      ),
    )}
    ${gone.map(({ revision, rollback }) =>
      press(
        `undone by ${revision}`,
        { run: state.run.name, undone: revision, from: rollback.to_step, to: rollback.from_step },
        `undone ${count(rollback.to_step)} – ${count(rollback.from_step)}`,
      ),
    )}
    ${
      rest.length > chosen.length
        ? html`<li>
            <select
              aria-label="Draw another run over it"
              @change=${(event) => {
                overlay(event.target.value, { run: event.target.value });
                event.target.value = "";
              }}
            >
              <option value="">another run …</option>
              ${rest.filter((run) => !chosen.includes(run)).map((run) => html`<option>${run.name}</option>`)}
            </select>
          </li>`
        : nothing
    }
  </ul>`;
}
