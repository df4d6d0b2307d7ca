// The policies of a run: what state each is in, what its factor is, what one in shadow would do.

import { count, number, ratio } from "../numbers.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

export function policies() {
  const now = state.run.snapshot;
  if (!now?.policies.length) {
    return html`<div class="empty">
      <h2>No policy steers this run</h2>
      <p>One that is attached in shadow shows what it would do, and does nothing.</p>
      <code>rheostat policy attach ${state.run.name} loss_spike --shadow</code>
    </div>`;
  }
  return html`<table class="table cards">
    <thead>
      <tr>
        <th>Policy</th>
        <th>State</th>
        <th>Factor</th>
        <th>Would give</th>
        <th>Answers</th>
        <th>Newest offence</th>
      </tr>
    </thead>
    <tbody>
      ${now.policies.map((policy) => row(policy, now.groups))}
    </tbody>
  </table>`;
}

function row(policy, groups) {
  const shadows = groups.filter((group) => policy.name in group.shadows);
  return html`<tr>
    <td>
      <strong>${policy.name}</strong>
      ${policy.mode ? html`<span class="quiet">remote, ${policy.mode}</span>` : nothing}
    </td>
    <td>${states(policy).map((one) => html`<span class="chip ${one}">${one}</span> `)}</td>
    <td>${factors(policy.factors)}</td>
    <td>
      ${shadows.map(
        (group) =>
          html`<div>
            ${groups.length > 1 ? group.name : nothing} ${number(group.shadows[policy.name])}
            <span class="quiet"
              >${group.learning_rate > 0 ? ratio(group.shadows[policy.name] / group.learning_rate) : nothing}</span
            >
          </div>`,
      )}
    </td>
    <td class="quiet">
      ${Object.entries(policy.outcomes).map(([outcome, times]) => html`<span>${count(times)} ${outcome}</span> `)}
    </td>
    <td class="why">${policy.failure}</td>
  </tr>`;
}

function states({ shadow, benched, connected }) {
  const found = [
    shadow && "shadow",
    benched && "benched",
    connected === false && "vanished",
  ].filter(Boolean);
  return found.length ? found : ["active"];
}

function factors(all) {
  const values = Object.entries(all);
  if (new Set(Object.values(all)).size <= 1) return values.length ? ratio(values[0][1]) : "–";
  return values.map(([group, factor]) => html`<div>${group} ${ratio(factor)}</div>`);
}
