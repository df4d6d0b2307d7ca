// Where the daemon wants to know who is looking: a bearer token, kept for as long as this tab lives.

import { caller } from "../api.js";
import { enter } from "../looking.js";
import { state } from "../state.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

let wasTried = false;

export function login() {
  const { status } = state.refused;
  const isUnknown = status === 401;
  const title = status === 403 ? "Nothing to see here for you" : "The daemon does not answer";
  return html`<div class="login">
    <form class="panel form" @submit=${submit}>
      <h1>${isUnknown ? "Who is looking?" : title}</h1>
      ${
        isUnknown
          ? html`<p class="says">
                A bearer token of this daemon: one that <code>rheostat token</code> has made, or
                that of a service account.
              </p>
              <div class="field">
                <label for="token">Token</label>
                <input
                  id="token"
                  name="token"
                  type="password"
                  autocomplete="off"
                  spellcheck="false"
                  required
                  autofocus
                  aria-invalid=${wasTried}
                  aria-describedby="token-mend"
                />
                ${
                  wasTried
                    ? html`<span class="mend" id="token-mend" role="alert">
                        The daemon does not know this token. Its log says why
                        (<code>caller.refused</code>).
                      </span>`
                    : nothing
                }
              </div>`
          : html`<p class="says">${state.refused.message}</p>`
      }
      <div class="actions">
        <button class="button first">${isUnknown ? "Look" : "Try again"}</button>
      </div>
    </form>
  </div>`;
}

async function submit(event) {
  event.preventDefault();
  const token = new FormData(event.target).get("token")?.trim();
  if (token) caller.token = token;
  await enter();
  wasTried = Boolean(token) && !state.me;
}
