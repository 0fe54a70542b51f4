// @ts-check
// Executions, failures and run time by hour or day, of all functions or of one.
import { get } from "../api.js";
import { h, part, put } from "../parts/dom.js";
import { choose } from "../parts/form.js";
import { facts } from "../parts/small.js";
import { empty } from "../parts/state.js";
import "../parts/time-chart.js";
import { clock, day, duration, number, size } from "../parts/words.js";

const RANGES = [
	["24h", "24 hours, by the hour"],
	["30d", "30 days, by the day"],
	["90d", "90 days, by the day"],
];
/** Hours of a range for which failures are counted. @type {Record<string, number>} */
const HOURS = { "24h": 24, "30d": 720 };
const HOUR_MS = 3_600_000;

/** @param {Page} page @param {Json} [func] */
export default async function usage({ main, query, signal, title, setQuery }, func) {
	if (!func) title("Usage");
	const range = choose("range", RANGES, query.get("range") || "24h");
	range.setAttribute("aria-label", "Range");
	const all = func ? [] : (await get("minifn/functions", { hours: 1 }, signal)).functions;
	const which = choose("function", [["", "all functions"], ...all.map((one) => [one.functionId, one.name])], query.get("function") || "");
	which.setAttribute("aria-label", "Function");
	const place = h("div", {});
	const draw = async () => {
		setQuery({ range: range.value === "24h" ? "" : range.value, function: which.value });
		put(place, ...(await charts(func?.$id || which.value, range.value, signal)));
	};
	range.addEventListener("change", draw);
	which.addEventListener("change", draw);
	await draw();
	put(main, h("div", { class: "bar" }, func ? null : h("h1", {}, "Usage"), h("span", { class: "space" }), func ? null : which, range), place);
}

/** @param {string} functionId @param {string} range @param {AbortSignal} signal */
async function charts(functionId, range, signal) {
	const hours = HOURS[range];
	const unit = range === "24h" ? HOUR_MS : 24 * HOUR_MS;
	const [used, failed] = await Promise.all([
		get(functionId ? `functions/${functionId}/usage` : "functions/usage", { range }, signal),
		hours ? failures(functionId, hours, unit, signal) : new Map(),
	]);
	if (!used.executionsTotal && !used.buildsTotal) return [empty("Nothing was used yet", "Charts begin with the first execution.")];
	const named = range === "24h" ? clock : day;
	const points = used.executions.map((one) => ({
		at: one.date,
		value: one.value,
		bad: failed.get(Math.floor(Date.parse(one.date) / unit)) || 0,
	}));
	const times = used.executionsTime.map((one) => ({
		at: one.date,
		value: one.value / 1000,
	}));
	return [
		chart("Executions", points, number, named),
		chart("Run time", times, duration, named),
		h("h2", {}, "Total"),
		facts([
			["executions", number(used.executionsTotal)],
			["run time", duration(used.executionsTimeTotal / 1000)],
			["builds", `${number(used.buildsTotal)}, ${number(used.buildsFailedTotal)} failed`],
			["stored code", size(used.deploymentsStorageTotal)],
			["stored builds", size(used.buildsStorageTotal)],
		]),
		table(points, times, range === "24h" ? (at) => `${day(at)} ${clock(at)}` : day, Boolean(hours)),
	];
}

/** @param {string} title @param {any[]} points @param {(value: number) => string} said @param {(at: string) => string} named */
const chart = (title, points, said, named) =>
	h("section", { class: "card chart", "aria-label": title }, h("h2", {}, title), part("time-chart", { points, label: title, said, named }));

/**
 * Return the failures of each point of a range: units since the epoch -> failures.
 * @param {string} functionId @param {number} hours @param {number} unit milliseconds @param {AbortSignal} signal
 * @returns {Promise<Map<number, number>>}
 */
async function failures(functionId, hours, unit, signal) {
	const { functions } = await get("minifn/functions", { hours }, signal);
	const last = Math.floor(Date.now() / HOUR_MS);
	const sums = new Map();
	for (const one of functions) {
		if (functionId && one.functionId !== functionId) continue;
		for (const [place, [, bad]] of one.series.entries()) {
			const at = Math.floor(((last - one.series.length + 1 + place) * HOUR_MS) / unit);
			sums.set(at, (sums.get(at) || 0) + bad);
		}
	}
	return sums;
}

/** @param {any[]} points @param {any[]} times @param {(at: string) => string} named @param {boolean} counted whether failures are known */
function table(points, times, named, counted) {
	const rows = points
		.map((one, place) => [one, times[place]])
		.filter(([one]) => one.value)
		.reverse();
	return h(
		"div",
		{ class: "plain" },
		h(
			"table",
			{},
			h(
				"thead",
				{},
				h(
					"tr",
					{},
					["When", "Executions", ...(counted ? ["Failed"] : []), "Run time"].map((name) => h("th", { scope: "col" }, name)),
				),
			),
			h(
				"tbody",
				{},
				rows.map(([one, time]) =>
					h(
						"tr",
						{},
						h("th", { scope: "row" }, named(one.at)),
						h("td", {}, number(one.value)),
						counted ? h("td", { class: one.bad ? "bad" : "" }, number(one.bad)) : null,
						h("td", {}, duration(time.value)),
					),
				),
			),
		),
	);
}
