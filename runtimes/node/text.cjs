"use strict";
// What a value looks like in the logs: the rules of Open Runtimes' logger, which writes what superjson makes of it.

const LINE_LIMIT = 8000;
const TRUNCATED = `... Log truncated due to size limit (${LINE_LIMIT} characters)`;

// The end of every stack: where the wrapper called the function.
const OWN_FRAMES = /\n {4}at (?:AsyncLocalStorage\.run .*\n {4}at )?(?:async )?runCall \([^]*$/;

/** Returns the arguments of one log call as one line, without its newline. */
function format(values) {
  const line = values.length === 1 ? formatValue(values[0]) : values.map(formatValue).join(" ");
  return line.length > LINE_LIMIT ? line.slice(0, LINE_LIMIT) + TRUNCATED : line;
}

function formatValue(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return String(value.stack || value).replace(OWN_FRAMES, "");
  try {
    return JSON.stringify(plain(value, [])) ?? "";
  } catch {
    return String(value);
  }
}

/** Returns `value` as JSON can show it; `above` holds the objects it lies in, a circle becomes null. */
function plain(value, above) {
  if (value === undefined) return null;
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return plainNumber(value);
  if (typeof value !== "object" || value === null) return value;
  if (above.includes(value)) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof RegExp || value instanceof URL) return value.toString();
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value, (one) => plain(one, above));
  const within = [...above, value];
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (Array.isArray(value) || value instanceof Set) return Array.from(value, (one) => plain(one, within));
  if (value instanceof Map) return Array.from(value, ([key, one]) => [plain(key, within), plain(one, within)]);
  if (!isPlainObject(value)) return value;
  const copy = {};
  for (const key of Object.keys(value)) copy[key] = plain(value[key], within);
  return copy;
}

function plainNumber(value) {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? value : String(value);
}

function isPlainObject(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

module.exports = { format };
