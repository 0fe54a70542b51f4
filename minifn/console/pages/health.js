// @ts-check
// The lines of `minifn doctor`, each line with its remedy, and how full the server is.
import { every, get } from "../api.js";
import { h, put } from "../parts/dom.js";
import { checks, facts } from "../parts/small.js";
import { number, size, span } from "../parts/words.js";

/** @param {Page} page */
export default async function health({ main, signal, title }) {
	title("Health");
	const place = h("div", {});
	const draw = async () => {
		const found = await get("minifn/health", {}, signal);
		put(place, numbers(found), h("h2", {}, "Checks"), h("ul", { class: "checks-list" }, checks(found.checks)));
	};
	await draw();
	put(main, h("div", { class: "bar" }, h("h1", {}, "Health"), h("p", { class: "sum" }, "The same as ", h("code", {}, "minifn doctor"))), place);
	every(60_000, signal, draw);
}

function numbers(found) {
	return h(
		"div",
		{ class: "two" },
		h(
			"section",
			{ class: "card", "aria-label": "Server" },
			h("h2", {}, "Server"),
			facts([
				["version", found.version],
				["sandbox", found.engine],
				["running for", span(found.uptimeSeconds)],
				["memory", size(found.memoryBytes)],
			]),
		),
		h(
			"section",
			{ class: "card", "aria-label": "Work" },
			h("h2", {}, "Work"),
			facts([
				["queued executions", number(found.queue)],
				["warm workers", number(found.workers)],
				["database", size(found.databaseBytes)],
				["free disk", size(found.diskFreeBytes)],
			]),
		),
	);
}
