// @ts-check
// Numbers, times and states as a person says them.

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many || one + "s"}`;

/** @param {number} value */
export const number = (value) => Math.round(value).toLocaleString("en-US");

/** @param {number} seconds */
export function duration(seconds) {
	if (!seconds) return "0 ms";
	if (seconds < 0.0095) return `${(seconds * 1000).toFixed(seconds < 0.00095 ? 2 : 1)} ms`;
	if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
	return span(seconds);
}

/** Whole units, the largest one or two. @param {number} seconds */
export function span(seconds) {
	const units = /** @type {[string, number][]} */ ([
		["d", 86400],
		["h", 3600],
		["min", 60],
		["s", 1],
	]);
	const place = units.findIndex(([, size]) => seconds >= size);
	if (place < 0) return "0 s";
	const [name, size] = units[place];
	const whole = Math.floor(seconds / size);
	const next = units[place + 1];
	const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
	return rest && whole < 10 ? `${whole} ${name} ${rest} ${next[0]}` : `${whole} ${name}`;
}

/** @param {number} bytes */
export function size(bytes) {
	for (const [name, unit] of /** @type {[string, number][]} */ ([
		["GB", 1e9],
		["MB", 1e6],
		["kB", 1e3],
	]))
		if (bytes >= unit) return `${(bytes / unit).toFixed(bytes < unit * 10 ? 1 : 0)} ${name}`;
	return `${bytes} B`;
}

/** "3 min ago", "in 2 h". @param {string} iso @param {number} [now] */
export function ago(iso, now = Date.now()) {
	const seconds = (now - Date.parse(iso)) / 1000;
	if (Math.abs(seconds) < 5) return "just now";
	const words = largest(Math.abs(seconds));
	return seconds < 0 ? `in ${words}` : `${words} ago`;
}

/** @param {number} seconds */
const largest = (seconds) => span(seconds).replace(/^(\d+ \w+) .*/, "$1");

const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** @param {string} iso */
export const exact = (iso) => EXACT.format(new Date(iso));
/** @param {string} iso */
export const clock = (iso) => CLOCK.format(new Date(iso));
/** @param {string} iso */
export const day = (iso) => DAY.format(new Date(iso));
/** @param {string} iso */
export const utc = (iso) => iso.replace("T", " ").replace(/(:\d\d)(:00)?(\.\d+)?(\+00:00|Z)$/, "$1");

/** Shorten an id in its middle. @param {string} id @param {number} [most] */
export const shortened = (id, most = 14) => (id.length <= most ? id : `${id.slice(0, most - 5)}…${id.slice(-4)}`);

/** @type {Record<string, [Tone, string]>} */
const STATES = {
	completed: ["ok", "completed"],
	failed: ["bad", "failed"],
	processing: ["busy", "running"],
	waiting: ["busy", "waiting"],
	scheduled: ["off", "scheduled"],
	ready: ["ok", "ready"],
	building: ["busy", "building"],
	canceled: ["off", "canceled"],
	disabled: ["off", "disabled"],
	empty: ["off", "no code yet"],
	warning: ["warn", "warning"],
	starting: ["busy", "starting"],
	draining: ["warn", "draining"],
	silent: ["warn", "silent"],
	refused: ["bad", "refused"],
	lost: ["bad", "lost"],
	ON: ["ok", "fine"],
	DEGRADED: ["warn", "degraded"],
	OFF: ["warn", "off"],
};

/** Return the tone and the word of a state. @param {string} state @returns {[Tone, string]} */
export const stated = (state) => STATES[state] || ["off", state];

/** @param {string} text */
export const firstLine = (text) => text.trim().split("\n", 1)[0].slice(0, 300);

/** Return the line of an error output that says what happened, with the last own file and line. @param {string} errors */
export function errorLine(errors) {
	const lines = errors.trim().split("\n");
	const said = /^Traceback/.test(lines[0]) ? lines[lines.length - 1] : lines[0];
	const files = [...errors.matchAll(/File "([^"]+)", line (\d+)/g)].filter((one) => !/site-packages|lib\/python/.test(one[1]));
	const last = files[files.length - 1];
	return (last ? `${said} (${last[1].split("/").pop()} line ${last[2]})` : said).slice(0, 300);
}
