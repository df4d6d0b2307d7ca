// Going back to a checkpoint: to which, around what, and what that undoes.

import { Refused } from "../api.js";
import { count, moment, number } from "../numbers.js";
import { previewRollback, rollback } from "../steering.js";
import { complain, state } from "../state.js";
import { refreshAside } from "../looking.js";
import { undone } from "../marks.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { ask, close, complaint, mend } from "./dialog.js";

const FIELDS = ["step", "skip", "scale", "rewarm_steps", "reason"];
const WHOLE = ["skip", "rewarm_steps"];

/** Ask where to go back to. */
export async function showRollback() {
  await refreshAside();
  const usable = state.checkpoints
    .filter((one) => !one.undone_by && one.reason !== "fork")
    .reverse();
  const form = { step: usable[0]?.step, skip: "", scale: "", rewarm_steps: "", reason: "" };
  let told = null;
  let error = null;
  let isOnItsWay = false;
  let asked = 0;
  const again = ask(content, () => (asked += 1));
  if (usable.length) look();

  function content() {
    return html`<form class="form" method="dialog" @submit=${submit} @input=${type} novalidate>
      <h2>Take ${state.run.name} back</h2>
      <p class="says">
        Weights, optimizer, LRs and data go back to a checkpoint, and training goes on from there.
        What is undone stays in the history.
      </p>
      ${usable.length ? checkpoints() : nowhere()}
      <div class="row">
        ${field("skip", "Leave out (batches)", "0")} ${field("scale", "Then scale the LR by", "1")}
        ${field("rewarm_steps", "Let it rise from 0 over (steps)", "0")}
      </div>
      ${field("reason", "Reason", "kept in the history")}
      <div class="preview" aria-live="polite">${shown()}</div>
      ${complaint(error, FIELDS)}
      <div class="actions">
        <button type="button" class="button" @click=${close}>Cancel</button>
        <button class="button first" ?disabled=${!told || isOnItsWay}>
          ${isOnItsWay ? "On its way …" : "Go back"}
        </button>
      </div>
    </form>`;
  }

  function nowhere() {
    return html`<p class="warns">
      There is no checkpoint to go back to yet.
      ${
        state.run.attached
          ? "A script goes back where it is attached with save= and restore=, once one was asked for."
          : nothing
      }
    </p>`;
  }

  function checkpoints() {
    return html`<div class="field">
      <label for="rollback-step">Checkpoint</label>
      <select id="rollback-step" name="step" autofocus>
        ${usable.map(
          (one) =>
            html`<option value=${one.step} ?selected=${one.step === form.step}>
              step ${count(one.step)} · ${moment(one.created_at)} ·
              ${one.reason}${one.validation_loss == null ? "" : ` · validation ${number(one.validation_loss)}`}
            </option>`,
        )}
      </select>
      ${mend(error, "step")}
    </div>`;
  }

  function field(name, words, hint) {
    return html`<div class="field">
      <label for="rollback-${name}">${words}</label>
      <input
        id="rollback-${name}"
        name=${name}
        placeholder=${hint}
        autocomplete="off"
        maxlength="2000"
      />
      ${mend(error, name)}
    </div>`;
  }

  function shown() {
    if (!told) return html`<p class="quiet">What it would undo stands here, before it is done.</p>`;
    const now = state.run.snapshot?.step ?? state.run.step;
    const gone = undone(state.decisions);
    const acting = state.decisions.filter(
      (one) => one.applied_step >= told.step && !gone.has(one.revision),
    );
    return html`<p>
        Back to step <strong>${count(told.step)}</strong>: about
        ${count(Math.max(0, now - told.step))} steps are undone.
      </p>
      ${
        acting.length
          ? html`<p class="warns">
              Undone with them:
              ${acting
                .slice(-4)
                .map((one) => `${one.who} ${one.what}`)
                .join(", ")}${acting.length > 4 ? ` and ${acting.length - 4} more` : ""}.
            </p>`
          : nothing
      }`;
  }

  function type({ target }) {
    form[target.name] = target.name === "step" ? Number(target.value) : target.value;
    told = error = null;
    look();
    again();
  }

  function wish() {
    const read = (name) => (form[name].trim() === "" ? undefined : Number(form[name]));
    const violations = [...WHOLE, "scale"]
      .filter((name) => read(name) !== undefined)
      .filter(
        (name) =>
          !Number.isFinite(read(name)) || (WHOLE.includes(name) && !Number.isInteger(read(name))),
      )
      .map((name) => ({
        field: name,
        value: form[name],
        expected: WHOLE.includes(name) ? "a whole number" : "a number",
      }));
    if (violations.length) throw new Refused(400, { code: "", message: "", violations });
    return {
      step: form.step,
      skip: read("skip"),
      scale: read("scale"),
      rewarm_steps: read("rewarm_steps"),
      reason: form.reason.trim(),
    };
  }

  async function look() {
    const mine = (asked += 1);
    try {
      const found = await previewRollback(wish());
      if (mine !== asked) return;
      told = found;
    } catch (refusal) {
      if (mine !== asked) return;
      error = { violations: [], ...refusal, message: refusal.message };
    }
    again();
  }

  async function submit(event) {
    event.preventDefault();
    if (!told) return;
    isOnItsWay = true;
    again();
    try {
      await rollback(wish());
      close();
    } catch (refusal) {
      isOnItsWay = false;
      complain(refusal);
      again();
    }
  }
}
