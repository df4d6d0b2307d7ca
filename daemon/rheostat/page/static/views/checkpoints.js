// The checkpoints of a run, the newest first.

import { count, moment, number, size } from "../numbers.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

export function checkpoints() {
  if (!state.checkpoints.length) {
    return html`<div class="empty">
      <p>No checkpoint yet. ${
        state.run.attached
          ? "Of a script one is taken when somebody asks, if it is attached with save= and restore=."
          : "One is taken every minute, at each pause and stop, and when somebody asks."
      }</p>
      <code>rheostat checkpoint save ${state.run.name}</code>
    </div>`;
  }
  return html`<table class="table cards">
    <thead>
      <tr>
        <th class="number">Step</th>
        <th>Taken</th>
        <th>Because</th>
        <th class="number">Validation loss</th>
        <th class="number">Size</th>
        <th></th>
      </tr>
    </thead>
    <tbody>
      ${[...state.checkpoints].reverse().map(
        (one) =>
          html`<tr class=${one.undone_by ? "is-undone" : ""}>
            <td class="number">${count(one.step)}</td>
            <td>${moment(one.created_at)}</td>
            <td>${one.reason}</td>
            <td class="number">${number(one.validation_loss)}</td>
            <td class="number quiet">${size(one.bytes)}</td>
            <td>${one.pinned ? html`<span class="chip">pinned</span>` : nothing}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
