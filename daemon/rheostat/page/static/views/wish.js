// From what a form holds to what is asked of the daemon, and from its answer to what is shown.

import { number, ratio } from "../numbers.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

/** What a form asks for, and what of it is no number. */
export function wishOf(form, all) {
  const wrong = [];
  const read = (name, expected, isWhole) => {
    const text = form[name].trim().replace(/^×/, "");
    if (text === "") return undefined;
    const value = Number(text);
    if (Number.isNaN(value) || (isWhole && !Number.isInteger(value))) {
      wrong.push({ field: name, value: text, expected });
    }
    // JSON has no infinity; the daemon would refuse it in the same words.
    else if (!Number.isFinite(value))
      wrong.push({ field: name, value: text, expected: "a finite number" });
    return value;
  };
  const wish = {
    verb: form.verb,
    value: form.verb === "release" ? undefined : read("value", "a number, as 0.5 or 3e-4"),
    steps: form.verb === "ramp" ? read("steps", "a whole number of steps", true) : undefined,
    expires_after_steps: read("expires_after_steps", "a whole number of steps", true),
    groups: form.groups.size && form.groups.size < all ? [...form.groups] : [],
    reason: form.reason.trim(),
  };
  return [wish, wrong];
}

/** What a dry run says, group by group. */
export function outcome(decision) {
  const same = decision.groups.every((group) => group.old === group.new);
  return html`<table class="table">
      <thead>
        <tr>
          <th>At the next step</th>
          <th class="number">now</th>
          <th class="number">then</th>
          <th class="number"></th>
        </tr>
      </thead>
      <tbody>
        ${decision.groups.map(
          (group) =>
            html`<tr>
              <td>${group.name}</td>
              <td class="number">${number(group.old)}</td>
              <td class="number"><strong>${number(group.new)}</strong></td>
              <td class="number quiet">
                ${group.old > 0 ? ratio(group.new / group.old) : nothing}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
    ${
      same
        ? html`<p class="quiet">
            ${decision.verb === "ramp" ? "It begins there and moves step by step." : "No LR moves at once."}
          </p>`
        : nothing
    }
    ${Object.values(decision.guardrails).map((text) => html`<p class="warns">${text}</p>`)}`;
}
