// Looking: which runs there are, and everything about the one that is looked at.

import { caller, get, ofRun, Refused } from "./api.js";
import { Course } from "./course.js";
import { complain, state, update } from "./state.js";
import { follow } from "./stream.js";

const LIST_SECONDS = 3;
const HISTORY = 500; // Newest decisions that are read at first, and each time more are wanted.
const MOST_DECISIONS = 5000; // That are kept; the oldest go.
const CLOSE_UP_POINTS = 2048;

let stop = () => {};
let asked = 0;

/** Find out who is looking, and begin to list the runs. */
export async function enter() {
  try {
    update({ me: await get("me"), refused: null });
  } catch (error) {
    if (error instanceof Refused && error.status === 401 && caller.token) caller.token = "";
    update({ me: null, refused: error });
    return;
  }
  await list();
}

/** Forget who is looking. */
export function leave() {
  caller.token = "";
  stop();
  update({ me: null, run: null, runs: [], isListed: false });
  enter();
}

/** List the runs, now and every few seconds while somebody looks. */
export async function list() {
  clearTimeout(asked);
  if (!state.me) return;
  if (!document.hidden) {
    try {
      const { runs } = await get("runs");
      update({ runs, isListed: true });
      await Promise.all([refreshOverlays(), readHashes()]);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return enter();
      if (!state.isListed) update({ refused: error });
    }
  }
  asked = setTimeout(list, 1000 * LIST_SECONDS);
}

/** Look at a run. */
export async function show(name) {
  stop();
  update({
    run: null,
    course: new Course(),
    closeUp: null,
    zoom: null,
    decisions: [],
    marked: null,
    held: [],
    checkpoints: [],
    groups: [],
    focus: null,
    overlays: {},
    ghost: null,
  });
  try {
    const run = await get(ofRun(name));
    const { decisions } = await get(ofRun(name, "decisions"), { size: HISTORY });
    if (location.hash !== hashOf(name)) return; // Somebody has looked away meanwhile.
    update({ run, decisions });
    if (!document.hidden) listen();
    await refreshAside();
  } catch (error) {
    complain(error);
  }
}

/** Ask for nothing while nobody looks. */
export function rest() {
  stop();
}

/** Go on where the looking ended. */
export function wake() {
  list();
  if (state.run) listen();
}

/** The address of a run on this page. */
export function hashOf(name) {
  return `#/runs/${encodeURIComponent(name)}`;
}

/** Follow the run that is looked at, with the groups that are drawn now. */
export function listen() {
  stop();
  const { name } = state.run;
  stop = follow(
    name,
    () => ({
      after: state.decisions.at(-1)?.revision ?? 0,
      group: state.groups,
      focus: state.focus ?? undefined,
    }),
    hear,
    (line, error) => {
      if (line !== state.line) update({ line });
      if (error instanceof Refused && error.status === 401) enter();
    },
  );
}

function hear(line) {
  switch (line.type) {
    case "view": {
      const isBuilt = state.run.groups.length === 0 && line.run.groups.length > 0;
      update({ run: { ...state.run, ...line.run } });
      if (isBuilt) listen();
      refreshAside();
      break;
    }
    case "snapshot":
      update({ run: { ...state.run, snapshot: line.snapshot, step: line.snapshot.step } });
      break;
    case "decision": {
      const newer = state.decisions.filter((one) => one.revision < line.decision.revision);
      const revision = Math.max(state.run.revision, line.decision.revision);
      update({
        run: { ...state.run, revision },
        decisions: [...newer, line.decision].slice(-MOST_DECISIONS),
      });
      if (line.decision.rollback) refreshAside();
      break;
    }
    case "steps":
      state.course.take(line);
      update({ course: state.course, focus: state.focus ?? line.components?.group ?? null });
      break;
  }
}

/** Read what does not come by itself: what waits for approval, and the checkpoints. */
export async function refreshAside() {
  const name = state.run?.name;
  if (!name) return;
  try {
    const [{ held }, { checkpoints }] = await Promise.all([
      get(ofRun(name, "held")),
      get(ofRun(name, "checkpoints")),
    ]);
    if (state.run?.name === name) update({ held, checkpoints });
  } catch (error) {
    complain(error);
  }
}

/** Read older decisions than those there are. */
export async function readOlder() {
  const until = state.decisions[0].revision - 1;
  try {
    const query = { size: HISTORY, until };
    const { decisions } = await get(ofRun(state.run.name, "decisions"), query);
    update({ decisions: [...decisions, ...state.decisions] });
  } catch (error) {
    complain(error);
  }
}

/** Draw the components of a group, or draw another set of groups. */
export function choose(news) {
  update(news);
  listen();
  if (state.zoom) zoomTo(state.zoom.from, state.zoom.to);
}

/** Look at some steps more closely. */
export async function zoomTo(from, to) {
  const zoom = { from: Math.max(0, Math.floor(from)), to: Math.ceil(to) };
  if (zoom.to - zoom.from < 4) return;
  update({ zoom });
  try {
    const told = await get(ofRun(state.run.name, "steps"), {
      ...zoom,
      points: CLOSE_UP_POINTS,
      group: state.groups,
      focus: state.focus ?? undefined,
    });
    const closeUp = new Course();
    closeUp.take(told);
    if (state.zoom?.from === zoom.from && state.zoom?.to === zoom.to) update({ closeUp });
  } catch (error) {
    complain(error);
  }
}

/** Look at all steps again. */
export function zoomOut() {
  update({ zoom: null, closeUp: null });
}

/** Draw another run over this one, or an undone part of it; or take it away again. */
export async function overlay(name, source) {
  if (state.overlays[name]) {
    const { [name]: _, ...others } = state.overlays;
    update({ overlays: others });
    return;
  }
  try {
    const course = await overlaid(source);
    update({ overlays: { ...state.overlays, [name]: course } });
  } catch (error) {
    complain(error);
  }
}

async function overlaid(source) {
  const course = new Course();
  const { run, ...part } = source;
  course.take(await get(ofRun(run, "steps"), part));
  course.source = source;
  return course;
}

/** Read the hashes of what the stream has told, which it tells before they are looked up. */
async function readHashes() {
  const bare = state.decisions.filter((one) => !one.hash);
  if (!bare.length) return;
  const { name } = state.run;
  const { decisions } = await get(ofRun(name, "decisions"), {
    until: bare.at(-1).revision,
    size: Math.min(bare.length, HISTORY),
  });
  if (state.run?.name !== name) return;
  const hashes = new Map(decisions.map((one) => [one.revision, one.hash]));
  const hashed = (one) => ({ ...one, hash: one.hash ?? hashes.get(one.revision) });
  update({ decisions: state.decisions.map(hashed) });
}

async function refreshOverlays() {
  for (const [name, old] of Object.entries(state.overlays)) {
    const run = state.runs.find((one) => one.name === old.source.run);
    if (old.source.undone !== undefined || !run || run.step === old.end) continue;
    const course = await overlaid(old.source);
    if (state.overlays[name]) update({ overlays: { ...state.overlays, [name]: course } });
  }
}
