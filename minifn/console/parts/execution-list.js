// @ts-check
// Executions, newest first: filters in the address, pages as they come into sight, new ones live.
import { follow, get, where } from "../api.js";
import "./data-table.js";
import { h, part, put } from "./dom.js";
import { since, status } from "./small.js";
import { empty } from "./state.js";
import { duration, errorLine, firstLine } from "./words.js";

/** Rows of the first page, which is seen at once, and of those that scrolling loads. */
const [FIRST_ROWS, PAGE_ROWS] = [100, 500];
const FILTERS = {
	status: ["completed", "failed", "processing", "waiting", "scheduled"],
	trigger: ["http", "schedule", "event"],
};

/** @type {Column<Json>[]} */
const COLUMNS = [
	{ key: "status", title: "Status", cell: (one) => status(one.status) },
	{
		key: "function",
		title: "Function",
		cell: (one) => h("a", { href: `executions/${one.$id}` }, one.functionId),
	},
	{
		key: "request",
		title: "Request",
		cell: (one) => (one.trigger === "http" ? `${one.requestMethod} ${one.requestPath}` : h("span", { class: "muted" }, one.trigger)),
	},
	{ key: "code", title: "Answer", number: true, cell: (one) => one.responseStatusCode || "" },
	{
		key: "time",
		title: "Time",
		number: true,
		cell: (one) => (one.status === "completed" || one.status === "failed" ? duration(one.duration) : ""),
	},
	{
		key: "note",
		title: "Output",
		cell: (one) => h("span", { class: one.errors ? "bad" : "muted" }, one.errors ? errorLine(one.errors) : firstLine(one.logs || "")),
	},
	{ key: "when", title: "Started", number: true, cell: (one) => since(one.$createdAt) },
];

/**
 * Show the executions of all functions, or those of one.
 * @param {HTMLElement} place @param {Page} page @param {string} [functionId]
 */
export async function executionList(place, { query, signal, setQuery }, functionId = "") {
	/** @type {Json[]} */ let rows = [];
	/** @type {Json[]} */ let fresh = [];
	let over = false;
	let busy = false;
	let turn = 0;
	const search = h("input", {
		type: "search",
		placeholder: "Search paths, logs, errors, IDs",
		"aria-label": "Search executions",
		value: query.get("search") || "",
	});
	const selects = Object.entries(FILTERS).map(([name, values]) => choice(name, values, query.get(name) || "", changed));
	const more = h("button", {
		class: "fresh",
		hidden: true,
		onclick: () => (scrollTo(0, 0), merge()),
	});
	const live = h("span", { class: "muted live-note", role: "status" });
	const table = part(
		"data-table",
		{
			columns: functionId ? COLUMNS_OF_ONE : COLUMNS,
			hrefOf: (one) => `executions/${one.$id}`,
			label: "Executions",
			onend: load,
		},
		{ class: functionId ? "executions of-one" : "executions" },
	);
	const filters = () => ({
		search: search.value.trim(),
		...Object.fromEntries(selects.map((one) => [one.name, one.value])),
	});

	const fits = (one) => {
		const wanted = /** @type {Record<string, string>} */ (filters());
		const text = `${one.$id} ${one.functionId} ${one.requestPath} ${one.logs} ${one.errors}`.toLowerCase();
		return Object.keys(FILTERS).every((name) => !wanted[name] || one[name] === wanted[name]) && text.includes(wanted.search.toLowerCase());
	};

	/** @param {Json} [after] the last one of the page before @returns {Promise<Json[]>} */
	async function page(after) {
		const wanted = /** @type {Record<string, string>} */ (filters());
		const queries = [where("limit", [after ? PAGE_ROWS : FIRST_ROWS]), where("orderDesc", [], "$createdAt")];
		for (const name of Object.keys(FILTERS)) if (wanted[name]) queries.push(where("equal", [wanted[name]], name));
		if (functionId) queries.push(where("equal", [functionId], "functionId"));
		if (after) queries.push(where("cursorAfter", [after.$id]));
		const found = await get("minifn/executions", { "queries[]": queries, search: wanted.search, total: false }, signal);
		return found.executions;
	}

	async function load() {
		if (busy || over) return;
		busy = true;
		const mine = turn;
		try {
			const found = await page(rows.at(-1));
			if (mine !== turn) return;
			over = found.length === 0;
			rows = [...rows, ...found];
			table.empty = nothing(functionId, Object.values(filters()).some(Boolean));
		} finally {
			if (mine === turn) busy = false;
		}
		table.rows = rows;
	}

	function changed() {
		setQuery(filters());
		turn++;
		[rows, fresh, over, busy] = [[], [], false, false];
		more.hidden = true;
		return load();
	}

	function merge() {
		const known = new Map(fresh.map((one) => [one.$id, one]));
		rows = [...fresh, ...rows.filter((one) => !known.has(one.$id))];
		fresh = [];
		more.hidden = true;
		table.rows = rows;
	}

	/** @param {Json} one an execution that began or ended */
	function take(one) {
		const place = rows.findIndex((row) => row.$id === one.$id);
		if (place >= 0) {
			rows = rows.with(place, { ...rows[place], ...one });
			table.rows = rows;
			return;
		}
		if (!fits(one)) return;
		fresh = [one, ...fresh.filter((other) => other.$id !== one.$id)];
		if (table.movable) merge();
		more.hidden = !fresh.length;
		more.textContent = `${fresh.length} new`;
	}

	/** Take those that began or ended while no stream was open. */
	async function catchUp() {
		const mine = turn;
		const found = await page();
		if (mine !== turn) return;
		const known = new Map(rows.map((row) => [row.$id, row.status]));
		for (const one of found.reverse()) if (known.get(one.$id) !== one.status) take(one);
	}

	let typed = 0;
	search.addEventListener("input", () => {
		clearTimeout(typed);
		typed = setTimeout(changed, 200);
	});
	await load();
	put(place, h("div", { class: "filters" }, search, selects, live), h("div", { class: "fresh-place" }, more), table);
	table.rows = rows;
	follow(
		"minifn/logs",
		{ functionId },
		(name, data) => {
			if (name === "end") take(data);
			if (name === "begin") take(begun(data));
		},
		signal,
		async (on) => {
			if (on) await catchUp();
			live.textContent = on ? "live" : "";
		},
	);
}

const COLUMNS_OF_ONE = COLUMNS.map((column) =>
	column.key === "function"
		? {
				...column,
				title: "Execution",
				cell: (one) => h("a", { href: `executions/${one.$id}` }, one.$id.slice(-8)),
			}
		: column,
);

/** Return an execution from the words of its beginning. @param {any} event */
export const begun = ({ executionId, functionId, trigger, method, path, at }) => ({
	$id: executionId,
	$createdAt: at,
	functionId,
	trigger,
	requestMethod: method,
	requestPath: path,
	status: "processing",
	logs: "",
	errors: "",
});

/** @param {string} name @param {string[]} values @param {string} now @param {() => void} changed */
function choice(name, values, now, changed) {
	const options = ["", ...values].map((value) => h("option", { value, selected: value === now }, value || `any ${name}`));
	return h("select", { name, "aria-label": name, onchange: changed }, options);
}

/** @param {string} functionId @param {boolean} filtered */
function nothing(functionId, filtered) {
	if (filtered) return empty("Nothing was found", "No execution has all of this. Take a filter away, or wait: new ones appear here.");
	return empty(
		"No execution yet",
		"Every call, scheduled run and event appears here as it happens.",
		functionId && h("a", { class: "button", href: `functions/${functionId}/try` }, "Try it"),
		h("pre", {}, `minifn run ${functionId || "FUNCTION"}`),
	);
}
