// @ts-check
// How the files of two deployments differ, line by line.
import { get } from "../api.js";
import { h } from "./dom.js";
import { empty } from "./state.js";

/** Most lines of one file that are compared, and lines shown around a change. */
const LINES_MAX = 3000;
const AROUND = 3;

/** Return what changed from one deployment to another. @param {string} before @param {string} after @param {AbortSignal} signal */
export async function difference(before, after, signal) {
	const [old, now] = await Promise.all([before, after].map(async (id) => (await get(`minifn/deployments/${id}/files`, {}, signal)).files));
	const names = [...new Set([...old, ...now].map((file) => file.path))].sort();
	const parts = [];
	for (const name of names) {
		const [left, right] = await Promise.all([content(before, old, name, signal), content(after, now, name, signal)]);
		if (left !== right) parts.push(h("h3", { class: "mono" }, name), shown(left, right));
	}
	return parts.length ? h("div", { class: "difference" }, parts) : empty("No difference", "Both deployments have the same files.");
}

/** @param {string} id @param {StoredFile[]} files @param {string} path @param {AbortSignal} signal */
async function content(id, files, path, signal) {
	const file = files.find((one) => one.path === path);
	if (!file) return "";
	if (file.binary) return `(${file.size} bytes, not text)`;
	return (await get(`minifn/deployments/${id}/files/content`, { path }, signal)).content;
}

/** @param {string} left @param {string} right */
function shown(left, right) {
	const [before, after] = [left, right].map((text) => (text ? text.replace(/\n$/, "").split("\n") : []));
	if (before.length + after.length > LINES_MAX) return h("p", { class: "muted" }, "The file is too long to compare here.");
	const lines = compared(before, after);
	const near = (place) => lines.slice(Math.max(0, place - AROUND), place + AROUND + 1).some(([sign]) => sign !== " ");
	const rows = lines.flatMap(([sign, text], place) => {
		if (near(place)) return [h("div", { class: sign === "+" ? "added" : sign === "-" ? "removed" : "" }, `${sign} ${text}`)];
		return place && near(place - 1) ? [h("div", { class: "muted" }, "…")] : [];
	});
	return h("pre", { tabindex: 0 }, rows);
}

/** The longest common subsequence, by the table of lengths. @param {string[]} left @param {string[]} right @returns {Line[]} */
export function compared(left, right) {
	const width = right.length + 1;
	const lengths = new Uint16Array((left.length + 1) * width);
	for (let i = left.length - 1; i >= 0; i--)
		for (let j = right.length - 1; j >= 0; j--)
			lengths[i * width + j] = left[i] === right[j] ? lengths[(i + 1) * width + j + 1] + 1 : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
	/** @type {Line[]} */
	const lines = [];
	let [i, j] = [0, 0];
	while (i < left.length || j < right.length) {
		if (i < left.length && j < right.length && left[i] === right[j]) [i, j] = (lines.push([" ", left[i]]), [i + 1, j + 1]);
		else if (j >= right.length || (i < left.length && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])) lines.push(["-", left[i++]]);
		else lines.push(["+", right[j++]]);
	}
	return lines;
}
