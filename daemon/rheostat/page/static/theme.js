// Light or dark: as the system has it, until somebody chooses.

const KEY = "rheostat-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

/** @returns {"light" | "dark"} */
export function theme() {
  return localStorage.getItem(KEY) ?? (system.matches ? "dark" : "light");
}

/** Take the other one, and keep to it. */
export function toggle() {
  localStorage.setItem(KEY, theme() === "dark" ? "light" : "dark");
  apply();
}

/** Have something done when it changes. */
export function onTheme(listener) {
  listeners.add(listener);
}

/** Dress the page. */
export function apply() {
  document.documentElement.dataset.theme = theme();
  for (const listener of listeners) listener();
}

/** @returns what a colour is called in the style sheet, as it is now. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

system.addEventListener("change", apply);
