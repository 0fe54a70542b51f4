// @ts-check
// Small parts: a state with its word, a time that stays right, an id to copy.
import { announce, h, part, put } from "./dom.js";
import { ago, exact, shortened, stated } from "./words.js";

/** A state: a shape and a word; colour is only a third sign. */
class StatusDot extends HTMLElement {
	state = "";
	text = "";
	bare = false;

	connectedCallback() {
		const [tone, word] = stated(this.state);
		this.dataset.tone = tone;
		const said = this.text || word;
		if (this.bare) put(this, h("i", { role: "img", "aria-label": said, title: said }));
		else put(this, h("i", { "aria-hidden": "true" }), said);
	}
}

/** @param {string} state @param {string} [text] @returns {HTMLElement} */
export const status = (state, text = "") => part("status-dot", { state, text });
/** @param {string} state @param {string} [text] @returns {HTMLElement} */
export const dot = (state, text = "") => part("status-dot", { state, text, bare: true });

/** @type {Set<TimeAgo>} */
const times = new Set();
setInterval(() => times.forEach((one) => one.show()), 10_000);

/** "3 min ago", with the exact time on hover. */
class TimeAgo extends HTMLElement {
	at = "";

	connectedCallback() {
		this.title = exact(this.at);
		this.show();
		times.add(this);
	}

	disconnectedCallback() {
		times.delete(this);
	}

	show() {
		this.textContent = ago(this.at);
	}
}

/** @param {string} at ISO 8601 @returns {HTMLElement} */
export const since = (at) => part("time-ago", { at });

/** An id, shortened in its middle; a click copies it whole. @param {string} text @param {number} [most] */
export const id = (text, most) =>
	h(
		"button",
		{
			class: "id",
			title: `Copy ${text}`,
			onclick: async (event) => {
				event.stopPropagation();
				await navigator.clipboard.writeText(text);
				announce(`Copied ${text}`);
			},
		},
		shortened(text, most),
	);

/** Names with values, one below the other. @param {[string, Children][]} pairs */
export const facts = (pairs) =>
	h(
		"dl",
		{ class: "facts" },
		pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
	);

/** Lines of `minifn doctor`, each with its remedy. @param {Json[]} all */
export const checks = (all) =>
	all.map((one) =>
		h(
			"li",
			{},
			status(one.state),
			h(
				"div",
				{},
				h("strong", {}, one.name),
				" ",
				h("span", { class: "muted" }, one.text),
				one.remedy && stated(one.state)[0] !== "ok" ? h("p", {}, one.remedy) : null,
			),
		),
	);

customElements.define("status-dot", StatusDot);
customElements.define("time-ago", TimeAgo);
