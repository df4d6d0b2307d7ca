// The news of a run, for as long as it is looked at.

import { ofRun, open, Refused } from "./api.js";

const LONGEST_WAIT = 15_000;
const SILENCE = 20_000; // The daemon says something every five seconds.

/**
 * Read the news of a run until told to stop; where the line breaks, call again.
 *
 * @param {string} run
 * @param {() => object} query what to ask for, at each call.
 * @param {(line: object) => void} hear
 * @param {(state: "live" | "over" | "away", why?: Error) => void} tell
 * @returns {() => void} stops it.
 */
export function follow(run, query, hear, tell) {
  let stopped = false;
  let call = new AbortController();

  async function read() {
    let wait = 500;
    while (!stopped) {
      call = new AbortController();
      try {
        const isOver = await once(call, (line) => {
          if (stopped) return;
          wait = 500;
          tell("live");
          hear(line);
        });
        if (isOver) {
          tell("over");
          wait = 5000;
        }
      } catch (error) {
        if (stopped) return;
        tell("away", error);
        // What the daemon refuses it refuses again, unless it was too much at once.
        if (error instanceof Refused && error.status !== 429 && error.status < 500) return;
      }
      if (stopped) return;
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  async function once(controller, each) {
    const response = await open(ofRun(run, "live"), query(), controller.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const silence = setTimeout(() => controller.abort(), SILENCE);
      const { value, done } = await reader.read();
      clearTimeout(silence);
      if (done) return false;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const text of lines) {
        const line = JSON.parse(text);
        if (line.type === "over") return true;
        if (line.type === "error") throw new Error(line.message);
        each(line);
      }
    }
  }

  read();
  return () => {
    stopped = true;
    call.abort();
  };
}
