// @ts-check
// Bars over time with axes; the numbers show on hover and are in the table beneath.
import { h, put, svg } from "./dom.js";

const [HEIGHT, LEFT, BOTTOM] = [160, 56, 24];

class TimeChart extends HTMLElement {
	/** @type {Point[]} */ points = [];
	label = "";
	/** @type {(value: number) => string} */ said = String;
	/** @type {(at: string) => string} */ named = String;

	#sizes = new ResizeObserver(() => this.#draw());

	connectedCallback() {
		this.#sizes.observe(this);
	}

	disconnectedCallback() {
		this.#sizes.disconnect();
	}

	#draw() {
		const wide = this.clientWidth;
		const most = rounded(Math.max(...this.points.map((one) => one.value)) || 1);
		const width = (wide - LEFT) / Math.max(1, this.points.length);
		const y = (value) => HEIGHT - (value / most) * (HEIGHT - 12);
		const lines = [0, 0.5, 1].map((share) =>
			svg(
				"g",
				{ class: "axis" },
				svg("line", { x1: LEFT, x2: wide, y1: y(most * share), y2: y(most * share) }),
				svg("text", { x: LEFT - 8, y: y(most * share) + 4, class: "end" }, this.said(most * share)),
			),
		);
		const every = Math.ceil(this.points.length / Math.max(2, Math.floor(wide / 110)));
		const names = this.points.map((one, place) =>
			place % every ? null : svg("text", { x: LEFT + (place + 0.5) * width, y: HEIGHT + 18 }, this.named(one.at)),
		);
		const tip = h("div", { class: "tip", hidden: true });
		const bars = this.points.map((one, place) => this.#bar(one, LEFT + place * width, width, y, tip));
		const total = this.said(this.points.reduce((sum, one) => sum + one.value, 0));
		const picture = svg(
			"svg",
			{
				viewBox: `0 0 ${wide} ${HEIGHT + BOTTOM}`,
				role: "img",
				"aria-label": `${this.label}: ${total} in all. The table has each number.`,
			},
			lines,
			names,
			bars,
		);
		picture.addEventListener("pointerleave", () => (tip.hidden = true));
		put(this, picture, tip);
	}

	/** @param {Point} one @param {number} x @param {number} width @param {(value: number) => number} y @param {HTMLElement} tip */
	#bar(one, x, width, y, tip) {
		const bar = (name, value) =>
			value
				? svg("rect", {
						class: name,
						x: x + width * 0.15,
						width: width * 0.7,
						y: y(value),
						height: HEIGHT - y(value),
					})
				: null;
		const area = svg("rect", { class: "area", x, width, y: 0, height: HEIGHT });
		area.addEventListener("pointerenter", () => {
			tip.textContent = `${this.named(one.at)}: ${this.said(one.value)}${one.bad ? `, ${this.said(one.bad)} failed` : ""}`;
			tip.hidden = false;
			tip.style.left = `${Math.min(Math.max(x + width / 2, 90), this.clientWidth - 90)}px`;
		});
		return svg("g", { class: "bar" }, area, bar("value", one.value), bar("failures", one.bad || 0));
	}
}

/** The next number that halves well. @param {number} value */
function rounded(value) {
	const unit = 10 ** Math.floor(Math.log10(value));
	return unit * ([1, 2, 4, 6, 8, 10].find((step) => step * unit >= value) || 10);
}

customElements.define("time-chart", TimeChart);
