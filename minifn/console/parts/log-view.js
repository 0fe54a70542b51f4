// @ts-check
// Lines as they are printed. A thousand a second stay readable: they are added once a frame.
import { colored, plain } from "./ansi.js";
import { announce, h, put } from "./dom.js";

/** Most lines in the document, lines of one block, and most characters shown of a line. */
const LINES_MAX = 20_000;
const BLOCK_LINES = 200;
const CHARS_MAX = 4000;

/** `print` text; the end stays in sight until the reader scrolls up. */
export class LogView extends HTMLElement {
	label = "Log";
	/** Shown while there is no line. */
	empty = "Nothing was printed.";
	/** Whether the end stays in sight while lines come. */
	following = true;
	#lines = 0;
	#dropped = 0;
	/** @type {{text: string, stream: string}[]} */ #waiting = [];
	/** @type {Record<string, string>} */ #rest = {};
	#styles = { logs: plain(), errors: plain() };
	#frame = 0;
	#note = h("p", { class: "muted" });
	#box = h("div", { class: "lines", tabindex: 0, role: "log", "aria-live": "off" });

	connectedCallback() {
		this.#box.setAttribute("aria-label", this.label);
		put(this, this.#note, this.#box);
		this.#flush();
	}

	/** @param {string} text @param {"logs" | "errors"} [stream] */
	print(text, stream = "logs") {
		const lines = ((this.#rest[stream] || "") + text).split("\n");
		this.#rest[stream] = /** @type {string} */ (lines.pop());
		for (const line of lines) this.#waiting.push({ text: line, stream });
		this.#frame ||= requestAnimationFrame(() => this.#flush());
	}

	/** Show the end of a text that has no line break at its end. */
	end() {
		for (const stream of /** @type {const} */ (["logs", "errors"])) if (this.#rest[stream]) this.print("\n", stream);
	}

	clear() {
		this.#waiting = [];
		this.#rest = {};
		this.#lines = this.#dropped = 0;
		this.#styles = { logs: plain(), errors: plain() };
		put(this.#box);
		this.#flush();
	}

	#flush() {
		this.#frame = 0;
		if (!this.isConnected) return;
		const box = this.#box;
		const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
		for (const { text, stream } of this.#waiting.splice(0)) this.#add(text, stream);
		while (this.#lines - this.#dropped > LINES_MAX && box.children.length > 1) {
			this.#dropped += /** @type {Element} */ (box.firstElementChild).children.length;
			box.firstElementChild?.remove();
		}
		this.#note.textContent = this.#dropped ? `${this.#dropped} earlier lines are not shown.` : this.#lines ? "" : this.empty;
		this.#note.hidden = !this.#note.textContent;
		if (atEnd && this.following) box.scrollTop = box.scrollHeight;
	}

	/** @param {string} text @param {string} stream */
	#add(text, stream) {
		const style = stream === "errors" ? this.#styles.errors : this.#styles.logs;
		const line = h("div", { class: `line ${stream}` });
		put(line, colored(text.slice(0, CHARS_MAX), style));
		if (text.length > CHARS_MAX) line.append(rest(text));
		let block = this.#box.lastElementChild;
		if (!block || block.children.length >= BLOCK_LINES) this.#box.append((block = h("div", { class: "block" })));
		block.append(line);
		this.#lines++;
	}
}

/** A button in place of the rest of a very long line. @param {string} text */
function rest(text) {
	const left = text.length - CHARS_MAX;
	return h(
		"button",
		{
			class: "rest",
			onclick: async () => {
				await navigator.clipboard.writeText(text);
				announce("Copied the whole line");
			},
		},
		`… ${left.toLocaleString("en-US")} more characters: copy the line`,
	);
}

customElements.define("log-view", LogView);
