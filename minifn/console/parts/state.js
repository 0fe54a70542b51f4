// @ts-check
// Placeholders for data: a skeleton, nothing yet, an error with a retry.
import { h, marked } from "./dom.js";

/** Lines in place of rows; shown only when loading takes long. @param {number} count */
export const skeleton = (count = 6) =>
	h(
		"div",
		{ class: "skeleton", role: "status", "aria-label": "Loading" },
		Array.from({ length: count }, () => h("i")),
	);

/**
 * The hint for an empty page: the next step.
 * @param {string} title @param {string} text @param {...Child} more commands and buttons
 */
export const empty = (title, text, ...more) => h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), more);

/** @param {unknown} error @param {() => void} [retry] */
export function failure(error, retry) {
	const message = error instanceof Error ? error.message : String(error);
	return h("div", { class: "failure", role: "alert" }, h("p", {}, marked(message)), retry && h("button", { onclick: retry }, "Try again"));
}
