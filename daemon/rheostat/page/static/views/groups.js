// The param groups, and how the LR of each comes about now.

import { choose } from "../looking.js";
import { count, number, ratio } from "../numbers.js";
import { lookOfGroup } from "../pictures.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

export function groups() {
  const { groups: all, snapshot } = state.run;
  if (!all.length)
    return html`<div class="empty"><p>The groups are known once the model is built.</p></div>`;
  const policies = [
    ...new Set(snapshot?.groups.flatMap((group) => Object.keys(group.factors)) ?? []),
  ];
  return html`<table class="table">
    <thead>
      <tr>
        <th>Group</th>
        <th class="number">LR</th>
        <th class="number">Schedule</th>
        ${policies.map((name) => html`<th class="number">${name}</th>`)}
        <th class="number">Operator</th>
        <th class="number">Hold</th>
        <th>Guardrails</th>
        <th class="number">Parameters</th>
      </tr>
    </thead>
    <tbody>
      ${all.map((group) =>
        row(
          group,
          snapshot?.groups.find((one) => one.name === group.name),
          policies,
        ),
      )}
    </tbody>
  </table>`;
}

function row(group, now, policies) {
  return html`<tr>
    <td>
      <button
        class="button small plain"
        @click=${() => choose({ focus: group.name, groups: withGroup(group.name) })}
      >
        <span class="dot ${lookOfGroup(group.name).colour}"></span> ${group.name}
      </button>
      ${group.optimizer ? html`<span class="quiet">${group.optimizer}</span>` : nothing}
    </td>
    <td class="number"><strong>${number(now?.learning_rate)}</strong></td>
    <td class="number">${number(now?.base)}</td>
    ${policies.map((name) => html`<td class="number">${name in (now?.factors ?? {}) ? ratio(now.factors[name]) : "–"}</td>`)}
    <td class="number">${now ? ratio(now.operator) : "–"}</td>
    <td class="number">${number(now?.hold)}</td>
    <td class="warns">${now?.guardrails.join(", ")}</td>
    <td class="number quiet">${count(group.parameters)} in ${count(group.tensors)}</td>
  </tr>`;
}

/** The groups that are drawn, with one more if it is not among them. */
function withGroup(name) {
  const shown = state.course.groups;
  return shown.includes(name) ? state.groups : [...shown.slice(-5), name];
}
