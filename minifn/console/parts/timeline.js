// @ts-check
// Where the time of an execution went: waiting, and running.
import { h } from "./dom.js";
import { duration } from "./words.js";

export function timeline(one) {
	if (one.status !== "completed" && one.status !== "failed") return h("div", { class: "timeline running", role: "img", "aria-label": "not over yet" }, h("i"));
	const begun = Date.parse(one.scheduledAt || one.$createdAt);
	const whole = Math.max((Date.parse(one.$updatedAt) - begun) / 1000, one.duration);
	const waited = Math.max(0, whole - one.duration);
	const parts = /** @type {[string, string, number][]} */ ([
		["waited", "queued and started", waited],
		["ran", "ran", one.duration],
	]).filter(([, , seconds]) => seconds > 0.0005);
	const said = parts.map(([, word, seconds]) => `${word} ${duration(seconds)}`).join(", ");
	const bars = parts.map(([name, , seconds]) => {
		const bar = h("i", { class: name });
		bar.style.flexGrow = String(1 + (100 * seconds) / whole);
		return bar;
	});
	return h(
		"figure",
		{ class: "timeline" },
		h("div", { class: "bars", role: "img", "aria-label": said }, bars),
		h(
			"figcaption",
			{},
			parts.map(([name, word, seconds]) => h("span", { class: name }, h("i", { "aria-hidden": "true" }), `${word} ${duration(seconds)}`)),
		),
	);
}
