// A change of LRs: what is wanted, what it would do, and only then the button that does it.

import { Refused } from "../api.js";
import { number } from "../numbers.js";
import { change, preview } from "../steering.js";
import { complain, state, update } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { ask, close, complaint, mend } from "./dialog.js";
import { outcome, wishOf } from "./wish.js";

const TITLES = {
  scale: ["Scale the LR", "Multiplies it from now on; the schedule keeps its shape."],
  ramp: ["Ramp the LR", "Walks to a value, geometrically; the schedule moves on beneath."],
  set: ["Set the LR", "Makes it this value now; the schedule goes on from there, in proportion."],
  hold: ["Hold the LR", "Keeps it at this value until it is released or expires."],
  release: [
    "Release the LR",
    "Ends a hold; where nothing is held, drops every scale, set and ramp.",
  ],
};
const FACTORS = [0.1, 0.5, 0.8, 1.25, 2];
const PAUSE = 250; // Milliseconds without a key before a preview is asked for.
const FIELDS = ["value", "steps", "groups", "expires_after_steps", "reason"];

/** Ask for a change. */
export function showChange(verb) {
  const form = {
    verb,
    value: "",
    steps: verb === "ramp" ? "500" : "",
    groups: new Set(),
    expires_after_steps: "",
    reason: "",
  };
  /** What the dry run said of the form as it stands: null while that is not known. */
  let told = null;
  let error = null;
  let waits = 0;
  let asked = 0;
  let isOnItsWay = false;

  const again = ask(content, () => {
    clearTimeout(waits);
    asked += 1;
    update({ ghost: null });
  });
  if (verb === "release") look();

  function content() {
    const [title, says] = TITLES[verb];
    return html`<form class="form" method="dialog" @submit=${submit} @input=${type} novalidate>
      <h2>${title} of ${state.run.name}</h2>
      <p class="says">${says}</p>
      ${verb === "release" ? nothing : numbers()} ${groups()}
      <div class="row">
        ${
          verb === "release"
            ? nothing
            : field("expires_after_steps", "Undo it after (steps)", "never", "numeric")
        }
        ${field("reason", "Reason", "kept in the history", "text")}
      </div>
      <div class="preview" aria-live="polite">${shown()}</div>
      ${complaint(error, FIELDS)}
      <div class="actions">
        <button type="button" class="button" @click=${close}>Cancel</button>
        <button class="button first" ?disabled=${!told || isOnItsWay}>${doing()}</button>
      </div>
    </form>`;
  }

  function numbers() {
    return html`<div class="row">
        ${
          verb === "scale"
            ? field("value", "Factor", "0.5", "decimal", true)
            : field(
                "value",
                "Learning rate",
                number(state.run.snapshot?.groups[0]?.learning_rate),
                "decimal",
                true,
              )
        }
        ${verb === "ramp" ? field("steps", "Over so many steps", "500", "numeric") : nothing}
      </div>
      ${
        verb === "scale"
          ? html`<div class="choices">
              ${FACTORS.map(
                (one) =>
                  html`<button
                    type="button"
                    class="button small"
                    @click=${() => enter("value", String(one))}
                  >
                    ×${one}
                  </button>`,
              )}
            </div>`
          : nothing
      }`;
  }

  function field(name, words, hint, mode, isFirst = false) {
    const isWrong = Boolean(error?.violations?.some((one) => one.field === name));
    return html`<div class="field">
      <label for="change-${name}">${words}</label>
      <input
        id="change-${name}"
        name=${name}
        inputmode=${mode}
        placeholder=${hint}
        autocomplete="off"
        maxlength="2000"
        ?autofocus=${isFirst}
        aria-invalid=${isWrong}
        .value=${live(form[name])}
      />
      ${mend(error, name)}
    </div>`;
  }

  function groups() {
    if (state.run.groups.length < 2) return nothing;
    return html`<fieldset>
      <legend>Groups${form.groups.size ? "" : ": all of them"}</legend>
      <div class="choices">
        ${state.run.groups.map(
          ({ name }) =>
            html`<label>
              <input type="checkbox" name="group" value=${name} .checked=${form.groups.has(name)} />
              ${name}
            </label>`,
        )}
      </div>
      ${mend(error, "groups")}
    </fieldset>`;
  }

  function shown() {
    if (told) return outcome(told);
    if (error) return html`<p class="quiet">It cannot be like that.</p>`;
    return html`<p class="quiet">
      ${isFilled() ? "Trying it out …" : "What it would do stands here, before it is done."}
    </p>`;
  }

  function doing() {
    if (isOnItsWay) return "On its way …";
    return { scale: "Scale", ramp: "Start the ramp", set: "Set", hold: "Hold", release: "Release" }[
      verb
    ];
  }

  function enter(name, value) {
    form[name] = value;
    changed();
  }

  function type({ target }) {
    if (target.name === "group") {
      if (target.checked) form.groups.add(target.value);
      else form.groups.delete(target.value);
    } else {
      form[target.name] = target.value;
    }
    changed();
  }

  function changed() {
    told = error = null;
    asked += 1;
    clearTimeout(waits);
    waits = setTimeout(look, PAUSE);
    again();
  }

  function isFilled() {
    return verb === "release" || form.value.trim() !== "";
  }

  async function look() {
    if (!isFilled()) return;
    const mine = (asked += 1);
    const [wish, wrong] = wishOf(form, state.run.groups.length);
    try {
      if (wrong.length) throw new Refused(400, { code: "", message: "", violations: wrong });
      const { decision } = await preview(wish);
      if (mine !== asked) return;
      told = decision;
      update({ ghost: decision });
    } catch (refusal) {
      if (mine !== asked) return;
      error = { violations: [], ...refusal, message: refusal.message };
      update({ ghost: null });
    }
    again();
  }

  async function submit(event) {
    event.preventDefault();
    if (!told) return look();
    isOnItsWay = true;
    again();
    try {
      await change(wishOf(form, state.run.groups.length)[0]);
      close();
    } catch (refusal) {
      isOnItsWay = false;
      complain(refusal);
      again();
    }
  }
}
