// @ts-check
// Calls over time as small bars; failures stand at their foot in their own colour.
import { put, svg } from "./dom.js";
import { counted } from "./words.js";

const WIDTH = 96;
const HEIGHT = 20;

class SparkLine extends HTMLElement {
	/** @type {[number, number][]} calls and failures of each step */ series = [];
	span = "in the last hour";

	connectedCallback() {
		const steps = grouped(this.series, 24);
		const most = Math.max(1, ...steps.map(([calls]) => calls));
		const width = WIDTH / Math.max(1, steps.length);
		const calls = steps.reduce((sum, [count]) => sum + count, 0);
		const failed = steps.reduce((sum, [, count]) => sum + count, 0);
		const said = `${counted(calls, "call")} ${this.span}, ${failed} failed`;
		const bars = steps.flatMap(([count, bad], place) => {
			const x = place * width;
			const tall = (of) => (of ? Math.max(2, (of / most) * HEIGHT) : 0);
			const rect = (name, high) =>
				high
					? svg("rect", {
							class: name,
							x: x + 0.5,
							y: HEIGHT - high,
							width: Math.max(1, width - 1),
							height: high,
						})
					: null;
			return [rect("calls", tall(count)), rect("failures", Math.min(tall(bad), tall(count)))];
		});
		const line = svg("line", { x1: 0, y1: HEIGHT - 0.5, x2: WIDTH, y2: HEIGHT - 0.5 });
		put(this, svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said }, svg("title", {}, said), line, bars));
	}
}

/** Sum neighbours until at most `most` steps are left. @param {[number, number][]} series @param {number} most */
function grouped(series, most) {
	const width = Math.ceil(series.length / most) || 1;
	/** @type {[number, number][]} */
	const steps = [];
	for (let start = 0; start < series.length; start += width) {
		const part = series.slice(start, start + width);
		steps.push([part.reduce((sum, one) => sum + one[0], 0), part.reduce((sum, one) => sum + one[1], 0)]);
	}
	return steps;
}

customElements.define("spark-line", SparkLine);
