// One set of curves over the steps of a run. All charts share the pointer and the part shown.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { count, number } from "./numbers.js";
import { colour } from "./theme.js";

/**
 * @typedef {object} Curve
 * @property {string} name
 * @property {(number | null)[]} values one for each step.
 * @property {string} colour as in the style sheet, without dashes.
 * @property {number} [width]
 * @property {number[]} [dash]
 * @property {boolean} [points] whether to draw points and no line.
 * @property {boolean} [gaps] whether nothing is to be drawn where a value is missing.
 * @property {number} [opacity]
 */
/**
 * @typedef {object} Band what lies between two curves.
 * @property {[number, number]} between indices of the curves, the upper one first.
 * @property {string} colour
 * @property {number} opacity
 */
/**
 * @typedef {object} Picture
 * @property {number[]} steps
 * @property {Curve[]} curves
 * @property {Band[]} [bands]
 * @property {boolean} isLog
 * @property {[number, number]} range of the steps.
 */

const FONT = "12px Inter, system-ui, sans-serif";
const LEFT = 62; // The same in all charts, so that steps stand above each other.

export class Chart {
  /**
   * @param {HTMLElement} host
   * @param {object} options
   * @param {number} options.height in pixels.
   * @param {(step: number | null) => void} options.onCursor
   * @param {(from: number, to: number) => void} options.onZoom
   * @param {() => void} options.onReset
   * @param {object[]} options.plugins of uPlot.
   */
  constructor(host, options) {
    this.host = host;
    this.options = options;
    /** @type {Picture | null} */
    this.picture = null;
    this.plot = null;
    this.look = "";
    new ResizeObserver(() => this.#fit()).observe(host);
  }

  /** Draw a picture, in place of the one before. */
  draw(picture) {
    this.picture = picture;
    const data = [picture.steps, ...picture.curves.map((curve) => curve.values)];
    const look = JSON.stringify([
      picture.isLog,
      picture.bands,
      picture.curves.map(({ values: _, ...looks }) => looks),
    ]);
    if (!this.plot || look !== this.look) {
      this.look = look;
      this.#make(data);
    } else {
      this.plot.setData(data, false);
    }
    this.plot.batch(() => {
      this.plot.setScale("x", { min: picture.range[0], max: picture.range[1] });
    });
  }

  /** Draw again in the colours of the moment. */
  restyle() {
    this.look = "";
    if (this.picture) this.draw(this.picture);
  }

  /** Draw again what stands over the curves. */
  redraw() {
    this.plot?.redraw(false);
  }

  #make(data) {
    this.plot?.destroy();
    const { height, onCursor, onZoom, onReset, plugins } = this.options;
    const { curves, bands = [], isLog } = this.picture;
    const axis = {
      font: FONT,
      stroke: colour("ink-3"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
    };
    this.plot = new uPlot(
      {
        width: this.host.clientWidth,
        height,
        padding: [14, 22, 0, 0],
        legend: { show: false },
        cursor: {
          sync: { key: "steps", setSeries: false },
          drag: { setScale: false, x: true, y: false },
          points: { size: 6 },
          bind: { dblclick: () => () => onReset() },
        },
        scales: {
          x: { time: false, auto: false },
          y: { distr: isLog ? 3 : 1, range: isLog ? rangeOfLog : rangeOf },
        },
        axes: [
          {
            ...axis,
            size: 30,
            values: (_, steps) => steps.map((one) => (one % 1 ? "" : count(one))),
          },
          {
            ...axis,
            size: LEFT,
            values: (_, values) => values.map((one) => (one === null ? "" : number(one, 3))),
            ...(isLog ? { splits: splitsOfLog } : {}),
          },
        ],
        series: [{}, ...curves.map(seriesOf)],
        bands: bands.map(({ between: [high, low], colour: name, opacity }) => ({
          series: [high + 1, low + 1],
          fill: faded(name, opacity),
        })),
        hooks: {
          setCursor: [
            (plot) => onCursor(plot.cursor.idx == null ? null : plot.data[0][plot.cursor.idx]),
          ],
          setSelect: [
            (plot) => {
              const { left, width } = plot.select;
              if (width < 4) return;
              onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
        },
        plugins,
      },
      data,
      this.host,
    );
    this.plot.over.addEventListener("pointerdown", (event) => {
      // A finger has no hover: where it touches, the pointer is.
      if (event.pointerType !== "touch") return;
      const box = this.plot.over.getBoundingClientRect();
      this.plot.setCursor({ left: event.clientX - box.left, top: event.clientY - box.top });
    });
  }

  #fit() {
    const width = this.host.clientWidth;
    if (this.plot && width && width !== this.plot.width) {
      this.plot.setSize({ width, height: this.options.height });
    }
  }
}

function seriesOf(curve) {
  return {
    label: curve.name,
    stroke: curve.points ? undefined : faded(curve.colour, curve.opacity ?? 1),
    width: curve.points ? 0 : (curve.width ?? 1.5),
    dash: curve.dash,
    spanGaps: !curve.gaps,
    pxAlign: 0, // else what falls slowly falls in stairs
    points: curve.points
      ? { show: true, size: 7, width: 1.5, stroke: colour("surface"), fill: colour(curve.colour) }
      : { show: false },
  };
}

function faded(name, opacity) {
  const share = Math.round(255 * opacity)
    .toString(16)
    .padStart(2, "0");
  return `${colour(name)}${share}`;
}

function rangeOf(_, low, high) {
  if (low === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

function rangeOfLog(_, low, high) {
  if (low === null || high <= 0) return [0.1, 1];
  const least = Math.max(low, high * 1e-12, 1e-300);
  // At least a factor of two, so that a curve that stands still does not look busy.
  const room = Math.max(1.12, (2 / (high / least)) ** 0.5);
  return [least / room, high * room];
}

/** Of a logarithmic axis, as many values as there is room for. */
function splitsOfLog(_, __, low, high) {
  const decades = Math.log10(high / low);
  const leading =
    decades > 2.2 ? [1] : decades > 0.9 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const every = Math.max(1, Math.ceil(decades / 6));
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    if (power % every) continue;
    for (const one of leading) found.push(one * 10 ** power);
  }
  return found.filter((one) => one >= low && one <= high);
}
