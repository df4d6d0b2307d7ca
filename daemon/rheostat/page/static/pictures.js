// From what is known of a run to what its charts show. Nothing is drawn here.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { state } from "./state.js";

const COLOURS = 6;
const DASHES = [undefined, [6, 3], [2, 3]];

/** The look of the curve of a number: six colours, then the same in dashes. */
export function lookOf(index) {
  return {
    colour: `series-${(index % COLOURS) + 1}`,
    dash: DASHES[Math.floor(index / COLOURS) % 3],
  };
}

/** The groups whose curves are drawn. */
export function shownGroups() {
  return state.course.groups;
}

/** The look of the curve of a group, the same wherever it stands. */
export function lookOfGroup(name) {
  const all = state.run?.groups.map((group) => group.name) ?? [];
  return lookOf(Math.max(0, all.indexOf(name)));
}

/** The look of the curve of another run, or of a part that was undone. */
export function lookOfOverlay(name) {
  const index = Object.keys(state.overlays).indexOf(name);
  return { colour: `series-${((index + 3) % COLOURS) + 1}`, dash: [5, 3], width: 1.25 };
}

/** The curves in the part that is looked at. */
export function course() {
  return state.closeUp ?? state.course;
}

/** The steps that are shown. */
export function range() {
  if (state.zoom) return [state.zoom.from, state.zoom.to];
  const ends = Object.values(state.overlays).map((one) => one.end);
  return [0, Math.max(1, state.course.end, ...ends)];
}

/** The loss: its mean and its extremes, validations, and other runs. */
export function lossPicture() {
  const { steps, told } = course();
  const { mean = [], min = [], max = [] } = told.loss;
  const main = [steps, max, min, mean];
  const validations = course().validations;
  const points = [validations.map((one) => one.step), validations.map((one) => one.loss)];
  const hidden = { colour: "series-1", opacity: 0, width: 0 };
  return joined(
    [main, points, ...overlaid((one) => one.told.loss.mean)],
    [
      { name: "max", ...hidden },
      { name: "min", ...hidden },
      { name: "train loss", colour: "series-1", width: 1.6 },
      { name: "validation loss", colour: "series-2", points: true },
      ...overlayCurves(),
    ],
    state.isLog.loss,
    [{ between: [0, 1], colour: "series-1", opacity: 0.16 }],
  );
}

/** The LR of each group, and that of other runs. */
export function ratePicture() {
  const { steps, told } = course();
  const groups = Object.keys(told.groups);
  const main = [steps];
  const curves = [];
  const bands = [];
  for (const group of groups) {
    const { last, min, max } = told.groups[group];
    const look = lookOfGroup(group);
    bands.push({
      between: [curves.length + 1, curves.length + 2],
      colour: look.colour,
      opacity: 0.3,
    });
    main.push(last, max, min);
    const hidden = { colour: look.colour, opacity: 0, width: 0 };
    curves.push({
      name: group,
      ...look,
      width: group === state.focus && groups.length > 1 ? 2.4 : 1.6,
    });
    curves.push({ name: "max", ...hidden }, { name: "min", ...hidden });
  }
  const other = (one) => one.told.groups[state.focus]?.last;
  return joined(
    [main, ...overlaid(other)],
    [...curves, ...overlayCurves()],
    state.isLog.rate,
    bands,
  );
}

/**
 * How the LR of one group comes about: the schedule, and stacked on it what each policy, the
 * operators, a hold and the guardrails do. Beside them, what policies in shadow would do.
 */
export function componentsPicture() {
  const { steps, told } = course();
  const parts = told.components;
  const applied = parts && told.groups[parts.group]?.last;
  if (!applied) return null;
  const levels = [
    { name: "schedule", values: parts.base, look: { colour: "ink-3", dash: [6, 3] } },
  ];
  const multiply = (name, factors, look) => {
    const below = levels.at(-1).values;
    const values = below.map((one, index) => (one === null ? null : one * (factors[index] ?? 1)));
    levels.push({ name, values, look });
  };
  Object.entries(parts.factors).forEach(([policy, values], index) =>
    multiply(policy, values, lookOf(index + 2)),
  );
  multiply("operator", parts.operator, lookOf(0));
  const product = levels.at(-1).values;
  const held = parts.hold.map((one, index) => one ?? product[index]);
  levels.push({ name: "hold", values: held, look: lookOf(3) });
  levels.push({ name: "guardrails", values: applied, look: lookOf(1) });
  const curves = [{ name: "schedule", values: parts.base, ...levels[0].look, width: 1.4 }];
  const bands = [];
  levels.slice(1).forEach(({ name, values, look }, index) => {
    const below = levels[index].values;
    if (!values.some((one, at) => differs(one, below[at]))) return;
    const hidden = { ...look, dash: undefined, width: 0, opacity: 0 };
    bands.push({ between: [curves.length, curves.length + 1], colour: look.colour, opacity: 0.34 });
    curves.push(
      {
        name: `${name}, from`,
        values: values.map((one, at) => both(Math.max, one, below[at])),
        ...hidden,
      },
      {
        name: `${name}, to`,
        values: values.map((one, at) => both(Math.min, one, below[at])),
        ...hidden,
      },
    );
  });
  curves.push({ name: "LR", values: applied, colour: "ink", width: 1.8 });
  Object.entries(parts.shadows).forEach(([policy, values], index) =>
    curves.push({
      name: `${policy} (shadow)`,
      values,
      ...lookOf(index + 4),
      dash: [2, 3],
      gaps: true,
    }),
  );
  return { steps, curves, bands, levels, isLog: state.isLog.rate, range: range() };
}

/** Whether a component makes a difference that can be seen. */
export function differs(one, other) {
  if (one === null || other === null) return false;
  return Math.abs(one - other) > 1e-9 * Math.max(Math.abs(one), Math.abs(other));
}

function both(choose, one, other) {
  return one === null || other === null ? null : choose(one, other);
}

function overlaid(values) {
  return Object.values(state.overlays).map((one) => [
    one.steps,
    values(one) ?? one.steps.map(() => null),
  ]);
}

function overlayCurves() {
  return Object.keys(state.overlays).map((name) => ({ name, ...lookOfOverlay(name) }));
}

function joined(tables, curves, isLog, bands) {
  const [steps, ...values] = uPlot.join(tables);
  return {
    steps,
    curves: curves.map((curve, index) => ({ ...curve, values: values[index] })),
    bands,
    isLog,
    range: range(),
  };
}
