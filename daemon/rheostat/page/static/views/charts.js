// The three charts of a run: loss, LR, and what the LR of one group is made of.

import { Chart } from "../chart.js";
import { zoomOut, zoomTo } from "../looking.js";
import { marks } from "../marks.js";
import { componentsPicture, lossPicture, ratePicture } from "../pictures.js";
import { state, update } from "../state.js";
import { onTheme } from "../theme.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { ghosts } from "./ghosts.js";
import { lossLegend, rateLegend, stackLegend } from "./legends.js";
import { overlays } from "./overlays.js";

/** @type {Record<string, Chart>} */
const drawn = {};

export function charts() {
  if (!state.run) return nothing;
  if (!state.course.steps.length) return beginning();
  const components = componentsPicture();
  return html`<div class="charts">
    ${waitsForScript() ? scriptToStart() : nothing}
    ${panel("loss", "Loss", lossLegend(), "loss")}
    ${panel("rate", "Learning rate", rateLegend(), "rate")}
    ${components ? panel("components", `What makes it: ${state.focus}`, stackLegend(components)) : nothing}
    ${overlays()}
  </div>`;
}

/** Draw what has changed; after the page itself has been rendered. */
export function drawCharts() {
  if (!state.run || !state.course.steps.length) return;
  chart("loss", 220).draw(lossPicture());
  chart("rate", 220).draw(ratePicture());
  const components = componentsPicture();
  if (components) chart("components", 190).draw(components);
  for (const one of Object.values(drawn)) if (state.marked || state.ghost) one.redraw();
}

onTheme(() => Object.values(drawn).forEach((one) => one.restyle()));

function chart(name, height) {
  const host = document.getElementById(`chart-${name}`);
  if (drawn[name]?.host !== host) {
    drawn[name] = new Chart(host, {
      height,
      plugins: name === "rate" ? [marks(), ghosts()] : [marks()],
      onCursor: (cursor) => cursor !== state.cursor && update({ cursor }),
      onZoom: zoomTo,
      onReset: zoomOut,
    });
  }
  return drawn[name];
}

function beginning() {
  if (waitsForScript()) return scriptToStart();
  const waits = state.run.phase === "queued";
  return html`<div class="panel empty">
    <h2>${waits ? "It waits for its turn" : "No step is finished yet"}</h2>
    <p>Curves begin with the first step.</p>
  </div>`;
}

/** Whether it is a fork of a script's run, which no daemon can start. */
function waitsForScript() {
  return state.run.phase === "queued" && state.run.attached;
}

function scriptToStart() {
  return html`<div class="panel empty">
    <h2>It waits for its script</h2>
    <p>A fork of a script's run begins when the script is started under its name.</p>
    <code>RHEOSTAT_RUN=${state.run.name} python script.py</code>
  </div>`;
}

function panel(name, title, legend, log) {
  return html`<section class="panel" aria-label=${title}>
    <header>
      <h2>${title}</h2>
      ${legend}
      <div class="tools">
        ${
          state.zoom
            ? html`<button class="button small" aria-keyshortcuts="0" @click=${zoomOut}>
                All steps
              </button>`
            : nothing
        }
        ${
          log
            ? html`<button
                class="button small plain"
                aria-pressed=${state.isLog[log]}
                @click=${() => update({ isLog: { ...state.isLog, [log]: !state.isLog[log] } })}
              >
                ${state.isLog[log] ? "log" : "linear"}
              </button>`
            : nothing
        }
      </div>
    </header>
    <div class="chart" id="chart-${name}"></div>
  </section>`;
}
