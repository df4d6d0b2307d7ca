// Pausing and going on: what that means, and then the button.

import { pauseOrResume } from "../steering.js";
import { complain, state } from "../state.js";
import { html } from "../vendor/lit-html/lit-html.js";
import { ask, close } from "./dialog.js";

/** Ask whether to pause, or to go on. */
export function showPause() {
  const isPaused = state.run.phase === "paused";
  let isOnItsWay = false;
  const again = ask(
    () =>
      html`<form class="form" method="dialog" @submit=${submit}>
        <h2>${isPaused ? "Resume" : "Pause"} ${state.run.name}</h2>
        <p class="says">
          ${
            isPaused
              ? "It goes on with its next step, as if nothing had happened."
              : `It finishes the step it is in, takes a checkpoint and stands still before the next one. It keeps its
             place on the device; its LRs can be changed meanwhile.`
          }
        </p>
        <div class="actions">
          <button type="button" class="button" @click=${close}>Cancel</button>
          <button class="button first" autofocus ?disabled=${isOnItsWay}>
            ${isPaused ? "Resume" : "Pause"}
          </button>
        </div>
      </form>`,
  );

  async function submit(event) {
    event.preventDefault();
    isOnItsWay = true;
    again();
    try {
      await pauseOrResume(isPaused ? "resume" : "pause");
    } catch (error) {
      complain(error);
    }
    close();
  }
}
