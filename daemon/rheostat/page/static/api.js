// What the daemon is asked. A token goes in a header and nowhere else: not into an address, not into
// a cookie, and no longer than this tab lives.

const TOKEN = "rheostat-token";
const NAME = "rheostat-name";

/** What the daemon said no with. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {{code: string, message: string, violations: Violation[]}} told
   */
  constructor(status, told) {
    super(told.message);
    this.status = status;
    this.code = told.code;
    /** @type {Violation[]} Every field that is wrong, its value and what is expected. */
    this.violations = told.violations;
  }
}

/** @typedef {{field: string, value: string, expected: string}} Violation */

export const caller = {
  get token() {
    return sessionStorage.getItem(TOKEN) ?? "";
  },
  set token(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
  },
  /** What the caller is called where nobody has to prove a name. */
  get name() {
    return localStorage.getItem(NAME) ?? "";
  },
  set name(name) {
    localStorage.setItem(NAME, name);
  },
};

/** Ask for something, and return what it says. */
export async function get(path, query = {}) {
  return (await open(path, query)).json();
}

/** Have something done, and return what came of it. */
export async function post(path, content = {}) {
  const body = JSON.stringify(content);
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", body, headers })).json();
}

/** Ask for something that is read as it comes. */
export function open(path, query = {}, signal = undefined) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat())
      if (one !== undefined && one !== null) asked.append(name, one);
  }
  return ask(asked.size ? `${path}?${asked}` : path, { signal });
}

/** The path of a run, or of something of it. */
export function ofRun(run, ...more) {
  return ["runs", run, ...more].map(encodeURIComponent).join("/");
}

async function ask(path, options) {
  const headers = { ...options.headers };
  if (caller.token) headers.Authorization = `Bearer ${caller.token}`;
  else headers["X-Rheostat-Principal"] = encodeURIComponent(caller.name || "page");
  const response = await fetch(`api/${path}`, { ...options, headers, cache: "no-store" });
  if (response.ok) return response;
  const told = await response.json().catch(() => ({
    code: "unknown",
    message: `the daemon answered ${response.status}`,
    violations: [],
  }));
  throw new Refused(response.status, told);
}
