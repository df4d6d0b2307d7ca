// What the page knows at the moment, and who is told when that changes.

import { Course } from "./course.js";

export const state = {
  /** Who is looking, once that is known: `{principal, proof}`. */
  me: null,
  /** Why nobody is let in: null, or what the daemon said. */
  refused: null,
  /** @type {object[]} */
  runs: [],
  /** Whether the list has come at all. */
  isListed: false,
  /** The run that is looked at, as `GET runs/RUN` tells it. */
  run: null,
  /** `live`, `over`, or `away` while the daemon does not answer. */
  line: "live",
  course: new Course(),
  /** Finer curves of what is zoomed into, or null. */
  closeUp: null,
  /** @type {{from: number, to: number} | null} */
  zoom: null,
  /** @type {object[]} Decisions, oldest first. */
  decisions: [],
  /** The revision that is looked at, in the table and on the curves. */
  marked: null,
  /** Changes that wait for a second person. */
  held: [],
  checkpoints: [],
  /** Groups whose curves are drawn; empty is the first few. */
  groups: [],
  /** The group whose components are drawn. */
  focus: null,
  /** Other runs, and undone parts of this one, drawn over it: `{name: Course}`. */
  overlays: {},
  /** The step below the pointer. */
  cursor: null,
  isLog: { loss: true, rate: false },
  tab: "decisions",
  /** What a dry run said, drawn as it would be. */
  ghost: null,
  toasts: [],
};

/** What the curves depend on; the rest changes words only, the pointer above all. */
const DRAWN = new Set(
  "course closeUp zoom decisions marked groups focus overlays isLog ghost".split(" "),
);
const listeners = new Set();
let isDue = false;
let isToBeDrawn = false;

/** Change what is known; who listens is told once a frame. */
export function update(news) {
  Object.assign(state, news);
  isToBeDrawn ||= Object.keys(news).some((name) => DRAWN.has(name));
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    const draws = isToBeDrawn;
    isDue = isToBeDrawn = false;
    for (const listener of listeners) listener(draws);
  });
}

/**
 * Have something done after each change.
 *
 * @param {(draws: boolean) => void} listener told whether curves are to be drawn anew.
 */
export function listen(listener) {
  listeners.add(listener);
}

/** What the caller may do with the run that is looked at. */
export function may(role) {
  const order = ["viewer", "operator", "admin"];
  return order.indexOf(state.run?.role) >= order.indexOf(role);
}

let toasts = 0;

/** Say something in the corner. */
export function toast(title, lines = [], isBad = false) {
  const one = { id: (toasts += 1), title, lines, isBad };
  update({ toasts: [...state.toasts.slice(-3), one] });
  if (!isBad) setTimeout(() => dismiss(one.id), 6000);
}

/** Say what the daemon refused: field, value and mend of everything that is wrong. */
export function complain(error) {
  const lines = (error.violations ?? []).map(
    ({ field, value, expected }) => `${field}${value ? ` = ${value}` : ""}: ${expected}`,
  );
  toast(lines.length ? "That cannot be" : error.message, lines, true);
}

/** Take something back from the corner. */
export function dismiss(id) {
  update({ toasts: state.toasts.filter((one) => one.id !== id) });
}
