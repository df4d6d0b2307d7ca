// Steering: what is asked of a run, and what comes of it.

import { ofRun, post } from "./api.js";
import { refreshAside } from "./looking.js";
import { count } from "./numbers.js";
import { complain, state, toast, update } from "./state.js";

/** Say what a change would do. Raises what the daemon refuses it with. */
export function preview(asked) {
  return post(ofRun(state.run.name, "changes"), { ...asked, dry_run: true });
}

/** Make a change. */
export async function change(asked) {
  const { decision } = await post(ofRun(state.run.name, "changes"), {
    ...asked,
    request_id: key(),
  });
  tell(decision);
}

/** Say where a run would go back to. Raises what the daemon refuses it with. */
export function previewRollback(asked) {
  return post(ofRun(state.run.name, "rollback"), { ...asked, dry_run: true });
}

/** Take the run back. */
export async function rollback(asked) {
  const request = { ...asked, request_id: key() };
  const { step } = await post(ofRun(state.run.name, "rollback"), request);
  toast(step === null ? "The run goes back at its next step" : `Went back to step ${count(step)}`);
}

/** Let the run stand still, or go on. */
export async function pauseOrResume(verb) {
  const told = await post(ofRun(state.run.name, verb));
  if (told.phase) update({ run: { ...state.run, ...told } });
  toast(verb === "pause" ? "The run stands still" : "The run goes on");
}

/** Approve a change that somebody else has asked for. */
export async function approve(held) {
  try {
    tell((await post(ofRun(state.run.name, "held", held.request_id))).decision);
  } catch (error) {
    complain(error);
  }
  refreshAside();
}

function tell(decision) {
  if (decision) {
    toast(`Acts from step ${count(decision.applied_step)} on, as revision ${decision.revision}`, [
      decision.line,
    ]);
    return;
  }
  toast("Accepted, and waits", ["for its step, or for a second person; it happens by itself then"]);
  refreshAside();
}

/** A key by which the daemon knows a request that comes twice. */
function key() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${[...bytes].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
}
