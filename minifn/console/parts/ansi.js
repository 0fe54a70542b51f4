// @ts-check
// The colours of a terminal as spans; every other control sequence is dropped.
import { h } from "./dom.js";

/** CSI sequences, OSC and other strings, two-character escapes, and control characters but tab. */
const CONTROL = /\x1b\[([0-9;:]*)([ -/]*[@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** @returns {Style} */
export const plain = () => ({
	color: "",
	back: "",
	bold: false,
	dim: false,
	italic: false,
	underline: false,
});

/** @param {Style} style */
function classes(style) {
	const names = [style.color && `f${style.color}`, style.back && `b${style.back}`];
	for (const name of /** @type {const} */ (["bold", "dim", "italic", "underline"])) if (style[name]) names.push(name);
	return names.filter(Boolean).join(" ");
}

/**
 * Return the nodes of a line. `style` carries over to the next line, as on a terminal.
 * @param {string} line @param {Style} style @returns {(string | HTMLElement)[]}
 */
export function colored(line, style) {
	const text = line.endsWith("\r") ? line.slice(0, -1) : line;
	// A progress bar writes over its line: its last state counts.
	const last = text.slice(text.lastIndexOf("\r") + 1);
	if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(last) && !classes(style)) return [last];
	/** @type {(string | HTMLElement)[]} */
	const nodes = [];
	let at = 0;
	const add = (end) => {
		if (end <= at) return;
		const name = classes(style);
		nodes.push(name ? h("span", { class: name }, last.slice(at, end)) : last.slice(at, end));
	};
	for (const found of last.matchAll(CONTROL)) {
		add(found.index);
		at = found.index + found[0].length;
		if (found[2] === "m") apply(found[1], style);
	}
	add(last.length);
	return nodes;
}

/** @param {string} numbers @param {Style} style */
function apply(numbers, style) {
	const codes = numbers.split(/[;:]/).map(Number);
	while (codes.length) {
		const code = /** @type {number} */ (codes.shift());
		if (code === 0) Object.assign(style, plain());
		else if (code === 1) style.bold = true;
		else if (code === 2) style.dim = true;
		else if (code === 3) style.italic = true;
		else if (code === 4) style.underline = true;
		else if (code === 22) style.bold = style.dim = false;
		else if (code === 23) style.italic = false;
		else if (code === 24) style.underline = false;
		else if (code === 38) style.color = extended(codes);
		else if (code === 48) style.back = extended(codes);
		else if (code === 39) style.color = "";
		else if (code === 49) style.back = "";
		else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.color = String(code % 10);
		else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) style.back = String(code % 10);
	}
}

/** Return the nearest of eight colours, which all can be read in both themes. @param {number[]} codes */
function extended(codes) {
	const kind = codes.shift();
	if (kind === 2) return nearest(codes.splice(0, 3));
	if (kind !== 5) return "";
	const index = codes.shift() || 0;
	if (index < 16) return String(index % 8);
	if (index > 231) return index < 244 ? "0" : "7";
	const cube = index - 16;
	return nearest([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((one) => one * 51));
}

/** @param {number[]} rgb */
const nearest = (rgb) => String(rgb.reduce((bits, one, place) => bits | (one > 110 ? 1 << place : 0), 0));
