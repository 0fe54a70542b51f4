// @ts-check
// A wall for a class: a tile a function, those that need help first, readable from the last bench.
import { every, get } from "../api.js";
import { h, part, put } from "../parts/dom.js";
import { since, status } from "../parts/small.js";
import "../parts/spark-line.js";
import { empty } from "../parts/state.js";
import { counted } from "../parts/words.js";

/** How much a function needs help; most first. @param {Overview} one */
function need(one) {
	if (one.state === "failed") return 3;
	if (one.failures) return 2;
	return one.state === "empty" ? 1 : 0;
}

/** @param {Page} page */
export default async function wall({ main, query, signal, title, setQuery }) {
	title("Wall");
	const search = h("input", {
		type: "search",
		placeholder: "Names that begin with",
		"aria-label": "Names that begin with",
		value: query.get("prefix") || "",
	});
	const tiles = h("ul", { class: "wall" });
	const sum = h("p", { class: "sum", role: "status" });
	/** @type {Overview[]} */
	let all = [];
	const draw = () => {
		const shown = all.filter((one) => one.functionId.startsWith(search.value) || one.name.startsWith(search.value));
		shown.sort((left, right) => need(right) - need(left) || left.name.localeCompare(right.name));
		const waiting = shown.filter((one) => need(one) > 1).length;
		put(sum, shown.length ? `${counted(shown.length, "function")} · ${waiting ? `${counted(waiting, "needs", "need")} help` : "all fine"}` : "");
		if (shown.length) put(tiles, shown.map(tile));
		else put(tiles, h("li", {}, empty("No function yet", "A tile appears here for each function as it is deployed.")));
	};
	const load = async () => {
		all = (await get("minifn/functions", { hours: 1 }, signal)).functions;
		draw();
	};
	search.addEventListener("input", () => (setQuery({ prefix: search.value }), draw()));
	await load();
	const full = h("button", { onclick: () => main.requestFullscreen() }, "Full screen");
	put(main, h("div", { class: "bar" }, h("h1", {}, "Wall"), sum, search, full), tiles);
	every(3000, signal, load);
}

/** @param {Overview} one */
function tile(one) {
	const failing = one.state === "ready" && one.failures > 0;
	const said = one.state === "failed" ? one.stateText : one.lastError;
	return h(
		"li",
		{ class: need(one) > 1 ? "help" : "" },
		h("a", { href: `functions/${one.functionId}` }, one.name),
		status(failing ? "warning" : one.state, failing ? counted(one.failures, "failure") : ""),
		said && need(one) > 1
			? h("p", { class: "bad" }, said)
			: h("p", { class: "muted" }, one.deployedAt ? ["deployed ", since(one.deployedAt)] : "waiting for code"),
		h("div", { class: "foot" }, part("spark-line", { series: one.series }), h("span", { class: "muted" }, counted(one.calls, "call"))),
	);
}
