// Numbers in the room of a few letters.

/** @returns a number with so many significant digits, as short as it can be written; or a dash. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-3 && magnitude < 1e6) return String(Number(value.toPrecision(digits)));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/** @returns a whole number with its thousands set apart. */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

/** @returns by how much something is multiplied. */
export function ratio(value) {
  return value === null || !Number.isFinite(value) ? "–" : `×${number(value, 3)}`;
}

/** @returns a share of 1. */
export function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(2)} %`;
}

/** @returns a length of time as a person would say it. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.round(hours / 24)} days`;
}

/** @returns a moment, with its day where that is not today. */
export function moment(seconds) {
  const then = new Date(1000 * seconds);
  const time = then.toLocaleTimeString("sv");
  return then.toDateString() === new Date().toDateString()
    ? time
    : `${then.toLocaleDateString("sv")} ${time}`;
}

/** @returns a number of bytes. */
export function size(bytes) {
  let value = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 1000) return `${number(value, 3)} ${unit}`;
    value /= 1000;
  }
  return `${number(value, 3)} GB`;
}
