// The page, put together.

import { enter, hashOf, rest, show, wake } from "./looking.js";
import { listen, state, update } from "./state.js";
import { apply, onTheme } from "./theme.js";
import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { bar } from "./views/bar.js";
import { charts, drawCharts } from "./views/charts.js";
import { head } from "./views/head.js";
import { listenToKeys } from "./views/keys.js";
import { login } from "./views/login.js";
import { runs } from "./views/runs.js";
import { tabs } from "./views/tabs.js";
import { toasts } from "./views/toasts.js";

const page = document.getElementById("page");

function draw(draws) {
  render(html`${bar()} ${content()} ${toasts()}`, page);
  if (draws) drawCharts();
}

function content() {
  if (state.refused && !(state.me && state.isListed)) return login();
  if (!state.isListed) return nothing;
  return html`${runs()}
    <main>${state.run ? html`${head()} ${charts()} ${tabs()}` : nobody()}</main>`;
}

function nobody() {
  if (location.hash.startsWith("#/runs/")) return nothing;
  return html`<div class="panel empty">
    <h1>No run yet</h1>
    <p>Whatever this daemon trains is shown here, live.</p>
    <code>rheostat run examples/digits.yaml --detach</code>
  </div>`;
}

/** The run that the address names; where it names none, the newest one. */
function turn() {
  const named = location.hash.match(/^#\/runs\/([^/]+)$/);
  if (named) {
    document.title = `${decodeURIComponent(named[1])} · Rheostat`;
    show(decodeURIComponent(named[1]));
  } else if (state.runs.length) {
    history.replaceState(null, "", hashOf(state.runs[0].name));
    turn();
  }
}

let wasListed = false;
listen((draws) => {
  draw(draws);
  const isListed = state.isListed && state.me !== null;
  const hasRun = location.hash.startsWith("#/runs/") || state.runs.length > 0;
  if (isListed && hasRun && !wasListed) {
    wasListed = true;
    turn();
  }
  if (!state.me) wasListed = false;
});
addEventListener("hashchange", turn);
// A browser keeps six connections to a daemon, so tabs that nobody sees must not hold one each.
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : wake()));
onTheme(() => update({}));
listenToKeys();
apply();
enter();
