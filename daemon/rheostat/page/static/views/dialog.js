// One dialog at a time, over the page. The browser keeps the focus in it and closes it on Escape.

import { html, nothing, render } from "../vendor/lit-html/lit-html.js";

/** @type {HTMLDialogElement | null} */
let open = null;

/** Whether something is asked at the moment. */
export function isAsking() {
  return open !== null;
}

/**
 * Show a dialog.
 *
 * @param {() => object} content a template, rendered anew by what this returns.
 * @param {() => void} [onClose]
 * @returns {() => void} renders the content again.
 */
export function ask(content, onClose = () => {}) {
  close();
  const dialog = document.createElement("dialog");
  const again = () => render(content(), dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (open === dialog) open = null;
    onClose();
  });
  // A click beside it closes it too.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  again();
  document.body.append(dialog);
  open = dialog;
  dialog.showModal();
  return again;
}

/** Close what is open. */
export function close() {
  open?.close();
  open = null;
}

/** What a refusal says about a field, below it; and of which field nobody knows, above the buttons. */
export function mend(error, ...fields) {
  const wrong = (error?.violations ?? []).find((one) => fields.includes(one.field.split("[")[0]));
  return wrong
    ? html`<span class="mend" role="alert"
        >${wrong.value ? `${wrong.value}: ` : ""}${wrong.expected}</span
      >`
    : nothing;
}

/** What a refusal says that belongs to no field of a form. */
export function complaint(error, fields) {
  if (!error) return nothing;
  const others = error.violations.filter((one) => !fields.includes(one.field.split("[")[0]));
  if (error.violations.length && !others.length) return nothing;
  const lines = others.length
    ? others.map((one) => `${one.field}${one.value ? ` = ${one.value}` : ""}: ${one.expected}`)
    : [error.message];
  return html`<p class="fails" role="alert">${lines.join("; ")}</p>`;
}
