// @ts-check
// The overview: which functions there are, how each of them is, and what needs a look.
import { every, get } from "../api.js";
import "../parts/data-table.js";
import { h, part, put } from "../parts/dom.js";
import { dot, since } from "../parts/small.js";
import "../parts/spark-line.js";
import { empty } from "../parts/state.js";
import { ago, counted, duration, number } from "../parts/words.js";

const EVERY_MS = 5000;

/** One sentence: what is wrong, else what comes next, else when the code came. @param {Overview} one */
function note(one) {
	if (one.state === "failed") return h("span", { class: "bad", title: one.stateText }, one.stateText);
	if (one.failures && one.lastError) return h("span", { class: "bad", title: one.lastError }, one.lastError);
	if (one.state === "building") return "building now";
	if (one.state === "empty") return "no code yet";
	if (one.state === "disabled") return "disabled";
	if (one.nextRunAt) return h("span", { title: `${one.schedule} (UTC)` }, `next run ${ago(one.nextRunAt)}`);
	return one.deployedAt ? h("span", {}, "deployed ", since(one.deployedAt)) : "";
}

/** @param {Overview} one */
const state = (one) => (one.state === "ready" && one.failures ? "warning" : one.state);

/** @type {Column<Overview>[]} */
const COLUMNS = [
	{
		key: "name",
		title: "Function",
		cell: (one) => [
			dot(state(one), state(one) === "warning" ? `${one.failures} failed` : one.stateText || one.state),
			h("a", { href: `functions/${one.functionId}`, title: one.functionId }, one.name),
		],
	},
	{ key: "runtime", title: "Runtime", cell: (one) => one.runtime },
	{ key: "spark", title: "Last hour", cell: (one) => part("spark-line", { series: one.series }) },
	{
		key: "calls",
		title: "Calls",
		number: true,
		cell: (one) => (one.calls ? `${number(one.calls)} /h` : h("span", { class: "muted" }, "0")),
	},
	{
		key: "failed",
		title: "Failed",
		number: true,
		cell: (one) => h("span", { class: one.failures ? "bad" : "muted" }, one.failures ? `${number(one.failures)} failed` : "0"),
	},
	{ key: "p50", title: "p50", number: true, cell: (one) => (one.calls ? duration(one.p50) : "") },
	{ key: "p95", title: "p95", number: true, cell: (one) => (one.calls ? duration(one.p95) : "") },
	{ key: "note", title: "Latest", cell: note },
];

/** @param {Page} page */
export default async function functions({ main, query, signal, title, setQuery }) {
	title("Functions");
	let all = await load(signal);
	const search = h("input", {
		type: "search",
		placeholder: "Search",
		"aria-label": "Search functions",
		value: query.get("search") || "",
	});
	const table = part(
		"data-table",
		{
			columns: COLUMNS,
			idOf: (one) => one.functionId,
			hrefOf: (one) => `functions/${one.functionId}`,
			label: "Functions",
		},
		{ class: "functions" },
	);
	const sum = h("p", { class: "sum" });
	const draw = () => {
		const words = search.value.toLowerCase().trim();
		table.empty = all.length ? empty("Nothing was found", `No function has “${words}” in its name, id or runtime.`) : first();
		table.rows = words ? all.filter((one) => `${one.name} ${one.functionId} ${one.runtime}`.toLowerCase().includes(words)) : all;
		put(sum, summary(all));
	};
	search.addEventListener("input", () => (setQuery({ search: search.value }), draw()));
	put(main, h("div", { class: "bar" }, h("h1", {}, "Functions"), sum, search, h("a", { class: "button primary", href: "new" }, "New function")), table);
	draw();
	every(EVERY_MS, signal, async () => {
		all = await load(signal);
		draw();
	});
}

/** @param {AbortSignal} signal @returns {Promise<Overview[]>} */
async function load(signal) {
	return (await get("minifn/functions", { hours: 1 }, signal)).functions;
}

/** @param {Overview[]} all */
function summary(all) {
	if (!all.length) return "";
	const calls = all.reduce((sum, one) => sum + one.calls, 0);
	const failures = all.reduce((sum, one) => sum + one.failures, 0);
	return `${counted(all.length, "function")} · ${counted(calls, "call")} and ${number(failures)} failed in the last hour`;
}

function first() {
	return empty(
		"No function yet",
		"Make one here in the browser, or in a terminal, in the directory where the server was started:",
		h("pre", {}, "minifn init hello\nminifn deploy hello"),
		h("a", { class: "button primary", href: "new" }, "New function"),
		h("p", {}, h("a", { href: "../docs/quickstart" }, "Quickstart")),
	);
}
