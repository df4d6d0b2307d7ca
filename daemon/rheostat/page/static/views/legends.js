// What the curves are called, and what they are below the pointer.

import { choose } from "../looking.js";
import { count, number, ratio } from "../numbers.js";
import { course, differs, lookOfGroup, lookOfOverlay } from "../pictures.js";
import { state } from "../state.js";
import { html, nothing, svg } from "../vendor/lit-html/lit-html.js";

/** The bucket below the pointer, or the last one. */
function place() {
  const { steps } = course();
  return state.cursor === null ? steps.length - 1 : course().at(state.cursor);
}

/** The losses, of the run and of what is drawn over it. */
export function lossLegend() {
  const { loss } = course().told;
  const at = place();
  const validation = course().validations.findLast(
    (one) => state.cursor === null || one.step <= state.cursor,
  );
  return html`<ul class="legend">
    ${entry("train loss", { colour: "series-1" }, number(loss.mean[at]))}
    ${validation ? entry("validation loss", { colour: "series-2", isPoint: true }, number(validation.loss)) : nothing}
    ${Object.entries(state.overlays).map(([name, one]) =>
      entry(
        name,
        lookOfOverlay(name),
        number(
          one.told.loss.mean[state.cursor === null ? one.steps.length - 1 : one.at(state.cursor)],
        ),
      ),
    )}
    ${state.cursor === null ? nothing : html`<li class="quiet">step ${count(state.cursor)}</li>`}
  </ul>`;
}

/** The groups; a click shows what makes the LR of one. */
export function rateLegend() {
  const { groups } = course().told;
  const at = place();
  const now = state.cursor === null ? state.run.snapshot : null;
  const value = (name) =>
    now?.groups.find((group) => group.name === name)?.learning_rate ?? groups[name].last[at];
  return html`<ul class="legend">
    ${Object.keys(groups).map(
      (name) =>
        html`<li>
          <button
            aria-pressed=${name === state.focus}
            title="Show what makes the LR of ${name}"
            @click=${() => choose({ focus: name })}
          >
            ${swatch(lookOfGroup(name))} ${name} <span class="value">${number(value(name))}</span>
          </button>
        </li>`,
    )}
    ${moreGroups()}
  </ul>`;
}

function moreGroups() {
  const all = state.run.groups.map((group) => group.name);
  const hidden = all.filter((name) => !state.course.groups.includes(name));
  if (!hidden.length) return nothing;
  return html`<li>
    <select
      aria-label="Draw another group"
      @change=${(event) => {
        const shown = state.course.groups.slice(-5);
        choose({ groups: [...shown, event.target.value], focus: event.target.value });
        event.target.value = "";
      }}
    >
      <option value="">${hidden.length} more groups …</option>
      ${hidden.map((name) => html`<option>${name}</option>`)}
    </select>
  </li>`;
}

/** What each component does. */
export function stackLegend({ levels, curves }) {
  const at = place();
  const parts = course().told.components;
  const by = (values) =>
    values[at] === null || values[at] === undefined ? "–" : ratio(values[at]);
  const applied = levels.at(-1).values;
  const hold = parts.hold[at];
  return html`<ul class="legend">
    ${entry("schedule", { colour: "ink-3", dash: [4, 2] }, number(parts.base[at]))}
    ${levels
      .slice(1, -2)
      .map(({ name, look }) =>
        entry(
          name,
          { ...look, isBlock: true },
          by(name === "operator" ? parts.operator : parts.factors[name]),
        ),
      )}
    ${hold != null ? entry("hold", { ...levels.at(-2).look, isBlock: true }, number(hold)) : nothing}
    ${
      differs(applied[at], levels.at(-2).values[at])
        ? entry(
            "guardrails",
            { ...levels.at(-1).look, isBlock: true },
            by([...Array(at), applied[at] / levels.at(-2).values[at]]),
          )
        : nothing
    }
    ${entry("LR", { colour: "ink" }, number(applied[at]))}
    ${curves
      .filter((curve) => curve.name.endsWith("(shadow)"))
      .map((curve) => entry(curve.name, curve, number(curve.values[at])))}
  </ul>`;
}

function entry(name, look, value) {
  return html`<li>${swatch(look)} ${name} <span class="value">${value}</span></li>`;
}

/** The look of a curve, in the room of a letter. */
export function swatch({ colour, dash, isBlock, isPoint }) {
  const shape = isBlock
    ? svg`<rect y="1" width="14" height="8" rx="2" fill="currentColor" opacity="0.45"/>`
    : isPoint
      ? svg`<circle cx="7" cy="5" r="3.5" fill="currentColor"/>`
      : svg`<path d="M0 5h14" stroke="currentColor" stroke-width="2.5" stroke-dasharray=${dash?.join(" ") ?? "none"}/>`;
  return html`<svg class="swatch ${colour}" viewBox="0 0 14 10" aria-hidden="true">${shape}</svg>`;
}
