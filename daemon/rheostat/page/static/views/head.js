// What a run is at: its name, its phase, its numbers, and what can be done with it.

import { count, duration, number, percent } from "../numbers.js";
import { approve } from "../steering.js";
import { may, state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { showChange } from "./change.js";
import { showPause } from "./pause.js";
import { showRollback } from "./rollback.js";

export const VERBS = [
  { verb: "scale", key: "s", words: "Scale" },
  { verb: "ramp", key: "r", words: "Ramp" },
  { verb: "set", key: "e", words: "Set" },
  { verb: "hold", key: "h", words: "Hold" },
  { verb: "release", key: "x", words: "Release" },
];

export function head() {
  const { run } = state;
  return html`<section class="head">
    <div class="title">
      <h1>${run.name}</h1>
      <span class="chip ${run.phase}">${run.phase}</span>
      ${
        run.origin
          ? html`<span class="quiet">
              ${run.origin.kind} of
              <a href="#/runs/${encodeURIComponent(run.origin.run)}">${run.origin.run}</a>
              at step ${count(run.origin.step)}
            </span>`
          : nothing
      }
      ${may("operator") && isSteerable(run) ? verbs(run) : nothing}
    </div>
    ${run.failure ? failure(run.failure) : nothing} ${state.held.map(waiting)} ${facts(run)}
  </section>`;
}

/** Whether the LR of a run can be changed. */
export function isSteerable(run) {
  return ["starting", "running", "paused"].includes(run.phase);
}

function verbs(run) {
  return html`<div class="verbs" role="toolbar" aria-label="Steer ${run.name}">
    ${VERBS.map(
      ({ verb, key, words }) =>
        html`<button
          class="button ${verb === "scale" ? "first" : ""}"
          aria-keyshortcuts=${key}
          @click=${() => showChange(verb)}
        >
          ${words}
        </button>`,
    )}
    <button class="button" aria-keyshortcuts="p" @click=${showPause}>
      ${run.phase === "paused" ? "Resume" : "Pause"}
    </button>
    ${
      may("admin")
        ? html`<button class="button" aria-keyshortcuts="b" @click=${showRollback}>
            Roll back
          </button>`
        : nothing
    }
  </div>`;
}

function failure(told) {
  return html`<div class="banner fails" role="alert">
    <span>${told.message}</span>
    ${told.violations.map((one) => html`<span>${one.field} = ${one.value}: ${one.expected}</span>`)}
    ${
      told.traceback
        ? html`<details>
            <summary>Traceback</summary>
            <pre class="code">${told.traceback}</pre>
          </details>`
        : nothing
    }
  </div>`;
}

function waiting(held) {
  return html`<div class="banner">
    <span>
      ${held.principal} asks for <strong>${held.verb} ${number(held.value)}</strong>
      ${held.reason ? `(${held.reason})` : nothing}, which would move an LR by
      ${number(held.ratio, 3)} times and takes a second person.
    </span>
    ${
      may("operator") && held.principal !== state.me.principal
        ? html`<button class="button small" @click=${() => approve(held)}>Approve</button>`
        : nothing
    }
  </div>`;
}

function facts(run) {
  const now = run.snapshot;
  const done = run.result ?? now;
  const left =
    now?.steps_per_second && run.steps ? (run.steps - now.step) / now.steps_per_second : NaN;
  const rates = now?.groups.map((group) => group.learning_rate) ?? [];
  const [low, high] = [Math.min(...rates), Math.max(...rates)];
  return html`<dl class="facts">
    ${fact("Step", count(run.step), run.steps ? `of ${count(run.steps)}` : "")}
    ${fact("Train loss", number(done?.train_loss), "")}
    ${fact("Validation loss", number(done?.validation_loss), "")}
    ${done?.validation_accuracy != null ? fact("Accuracy", percent(done.validation_accuracy), "") : nothing}
    ${fact("Learning rate", rates.length ? number(high) : "–", low < high ? `down to ${number(low)}` : "")}
    ${
      run.phase === "running" && now?.steps_per_second
        ? html`${fact("Speed", number(now.steps_per_second, 3), "steps a second")}
          ${run.steps ? fact("Time left", duration(left), "at this speed") : nothing}`
        : nothing
    }
    ${fact("Revision", count(run.revision), run.device ? `on ${run.device}` : "")}
  </dl>`;
}

function fact(name, value, more) {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value} ${more ? html`<small>${more}</small>` : nothing}</dd>
  </div>`;
}
