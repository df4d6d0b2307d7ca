// What has happened to a run besides its steps and decisions, the newest first.

import { moment } from "../numbers.js";
import { state } from "../state.js";
import { html } from "../vendor/lit-html/lit-html.js";

export function events() {
  const told = [...(state.run.events ?? [])].reverse();
  if (!told.length) {
    return html`<div class="empty">
      <p>Nothing has happened to it but steps: no restart, no rollback, no warning.</p>
    </div>`;
  }
  return html`<table class="table cards">
    <thead>
      <tr>
        <th>When</th>
        <th>What</th>
        <th>In words</th>
      </tr>
    </thead>
    <tbody>
      ${told.map(
        ({ time, kind, message }) =>
          html`<tr>
            <td class="quiet">${moment(time)}</td>
            <td>${kind.replaceAll("_", " ")}</td>
            <td class="why">${message}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
