// @ts-check
// The runs of a day, past and to come: a strip of marks, and each function's next runs.
import { every, get } from "../api.js";
import { h, put, svg } from "../parts/dom.js";
import { empty } from "../parts/state.js";
import { clock, counted, day, stated, utc } from "../parts/words.js";

const HOUR_MS = 3_600_000;
/** Hours shown before and after now. */
const [BEFORE, AFTER] = [6, 18];
const WIDTH = 960;
const LINE = 28;

/** @param {Page} page */
export default async function schedule({ main, signal, title }) {
	title("Schedule");
	const place = h("div", {});
	const draw = async () => {
		/** @type {Schedule} */
		const found = await get("minifn/schedule", { hours: 24 }, signal);
		if (found.functions.length) put(place, strip(found), next(found));
		else
			put(place, empty("Nothing is scheduled", "A schedule is a cron expression among the settings of a function: 0 5 * * * runs it each day at 05:00 UTC."));
	};
	await draw();
	put(main, h("div", { class: "bar" }, h("h1", {}, "Schedule"), h("p", { class: "sum" }, "24 hours; a hollow mark is still to come")), place);
	every(30_000, signal, draw);
}

/** @param {Schedule} found */
function strip({ now, runs, functions }) {
	const middle = Date.parse(now);
	const start = middle - BEFORE * HOUR_MS;
	const x = (at) => ((new Date(at).getTime() - start) / ((BEFORE + AFTER) * HOUR_MS)) * WIDTH;
	const hours = Array.from({ length: BEFORE + AFTER }, (_, hour) => Math.ceil(start / HOUR_MS) * HOUR_MS + hour * HOUR_MS);
	const tall = functions.length * LINE;
	const ticks = hours
		.filter((at) => new Date(at).getHours() % 3 === 0)
		.map((at) =>
			svg("g", {}, svg("line", { x1: x(at), x2: x(at), y1: 0, y2: tall }), svg("text", { x: x(at), y: tall + 16 }, clock(new Date(at).toISOString()))),
		);
	const marks = functions.flatMap(({ functionId }, place) =>
		runs.filter((run) => run.functionId === functionId && x(run.at) >= 0 && x(run.at) <= WIDTH).map((run) => mark(run, x(run.at), place * LINE + LINE / 2)),
	);
	const line = svg("line", { class: "now", x1: x(middle), x2: x(middle), y1: 0, y2: tall });
	const said = `${counted(runs.filter((run) => run.past).length, "run")} in the last ${BEFORE} hours, ${counted(runs.filter((run) => !run.past).length, "run")} to come`;
	const names = h(
		"div",
		{ class: "names" },
		functions.map((one) => h("a", { href: `functions/${one.functionId}` }, one.functionId)),
	);
	return h(
		"div",
		{ class: "strip" },
		names,
		h(
			"div",
			{ class: "scroll", tabindex: 0, role: "group", "aria-label": "24 hours" },
			svg("svg", { viewBox: `0 0 ${WIDTH} ${tall + 24}`, role: "group", "aria-label": said }, ticks, line, marks),
		),
	);
}

/** @param {Run} run @param {number} x @param {number} y */
function mark(run, x, y) {
	const tone = run.past ? stated(run.status)[0] : "next";
	const said = `${run.functionId}, ${clock(run.at)}: ${run.past ? stated(run.status)[1] : "to come"}`;
	const shape = tone === "bad" ? svg("path", { d: `M${x - 5} ${y}l5 -5l5 5l-5 5z`, class: tone }) : svg("circle", { cx: x, cy: y, r: 4, class: tone });
	shape.append(svg("title", {}, said));
	return run.executionId ? svg("a", { href: `executions/${run.executionId}`, "aria-label": said }, shape) : shape;
}

/** @param {Schedule} found */
function next({ functions }) {
	const rows = functions.map((one) =>
		h(
			"tr",
			{},
			h("th", { scope: "row" }, h("a", { href: `functions/${one.functionId}/settings` }, one.functionId)),
			h("td", {}, h("code", {}, one.schedule)),
			...Array.from({ length: 5 }, (_, place) =>
				h(
					"td",
					{},
					one.next[place]
						? [h("span", {}, `${day(one.next[place])} ${clock(one.next[place])}`), h("small", { class: "muted" }, `${utc(one.next[place]).slice(-5)} UTC`)]
						: "",
				),
			),
		),
	);
	const titles = ["Function", "Schedule", "Next run", "then", "then", "then", "then"];
	return h(
		"div",
		{ class: "scroll plain", tabindex: 0, role: "group", "aria-label": "Next runs" },
		h(
			"table",
			{},
			h(
				"thead",
				{},
				h(
					"tr",
					{},
					titles.map((one) => h("th", { scope: "col" }, one)),
				),
			),
			h("tbody", {}, rows),
		),
	);
}
