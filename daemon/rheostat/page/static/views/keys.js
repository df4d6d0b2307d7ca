// What the keyboard does, and the list of it.

import { hashOf, zoomOut } from "../looking.js";
import { may, state, update } from "../state.js";
import { toggle } from "../theme.js";
import { html } from "../vendor/lit-html/lit-html.js";
import { showChange } from "./change.js";
import { ask, close, isAsking } from "./dialog.js";
import { isSteerable, VERBS } from "./head.js";
import { showPause } from "./pause.js";
import { showRollback } from "./rollback.js";
import { inOrder } from "./runs.js";

const STEERING = {
  ...Object.fromEntries(VERBS.map(({ verb, key }) => [key, () => showChange(verb)])),
  p: showPause,
};
const ADMINISTERING = { b: showRollback };
const LOOKING = {
  j: () => turnTo(1),
  k: () => turnTo(-1),
  "[": () => markNext(-1),
  "]": () => markNext(1),
  0: zoomOut,
  l: () => update({ isLog: { ...state.isLog, rate: !state.isLog.rate } }),
  d: toggle,
  "?": showKeys,
};

const WORDS = [
  [["j", "k"], "next run, run before"],
  [["[", "]"], "decision before, next decision"],
  [["0"], "all steps again, after dragging over some"],
  [["l"], "LRs on a logarithmic or a linear axis"],
  [["s", "r", "e", "h", "x"], "scale, ramp, set, hold, release the LR"],
  [["p"], "pause, or go on"],
  [["b"], "go back to a checkpoint"],
  [["d"], "dark or light"],
  [["?"], "this list"],
];

/** Listen to the keyboard. */
export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea");
    if (isTyping || isAsking() || event.ctrlKey || event.metaKey || event.altKey) return;
    const canSteer = state.run && may("operator") && isSteerable(state.run);
    const act =
      LOOKING[event.key] ??
      (canSteer ? STEERING[event.key] : undefined) ??
      (canSteer && may("admin") ? ADMINISTERING[event.key] : undefined);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** List the keys. */
export function showKeys() {
  ask(
    () =>
      html`<form class="form" method="dialog">
        <h2>Keys</h2>
        <div class="keys">
          ${WORDS.map(
            ([keys, words]) =>
              html`<span>${keys.map((key) => html`<kbd>${key}</kbd> `)}</span
                ><span>${words}</span>`,
          )}
        </div>
        <p class="quiet">
          Drag over a chart to see some steps closely; a double click shows all again.
        </p>
        <div class="actions"><button class="button" autofocus @click=${close}>Close</button></div>
      </form>`,
  );
}

function turnTo(direction) {
  const names = inOrder(state.runs).map(({ run }) => run.name);
  const index = names.indexOf(state.run?.name) + direction;
  if (names[index]) location.hash = hashOf(names[index]);
}

function markNext(direction) {
  const all = state.decisions.map((one) => one.revision);
  if (!all.length) return;
  const at = all.indexOf(state.marked);
  const next = at < 0 ? (direction < 0 ? all.length - 1 : 0) : at + direction;
  update({ marked: all[Math.max(0, Math.min(next, all.length - 1))], tab: "decisions" });
  const row = () => document.querySelector("tr.is-marked")?.scrollIntoView({ block: "nearest" });
  requestAnimationFrame(() => requestAnimationFrame(row));
}
