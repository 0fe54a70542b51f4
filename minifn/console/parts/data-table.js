// @ts-check
// A table of any length: only the rows in sight are in the document. Every row has the same height.
import { h, put } from "./dom.js";

/** Rows kept ready above and below the window. */
const BEYOND = 8;

/** Set `columns`, `idOf`, `hrefOf` and `label` once, then `rows` as often as they change. */
export class DataTable extends HTMLElement {
	/** @type {Column<any>[]} */ columns = [];
	/** @type {(row: any) => string} */ idOf = (row) => row.$id;
	/** @type {(row: any) => string} */ hrefOf = () => "";
	label = "";
	/** Called when the end comes near. */
	onend = () => {};
	/** @type {any[]} */ #rows = [];
	/** @type {Map<string, {row: any, element: HTMLElement}>} */ #shown = new Map();
	/** @type {Child} */ empty = "";
	#none = h("div");
	#head = h("div", { role: "rowgroup" });
	#body = h("div", { role: "rowgroup", class: "rows" });
	#frame = 0;
	#height = 32;

	connectedCallback() {
		this.setAttribute("aria-label", this.label);
		const titles = this.columns.map((column) => h("span", { role: "columnheader", class: `c-${column.key}${column.number ? " n" : ""}` }, column.title));
		put(this.#head, h("div", { role: "row", class: "head" }, titles));
		put(this, this.#head, this.#body, this.#none);
		this.#body.addEventListener("click", (event) => this.#open(event));
		addEventListener("scroll", this.#later, { passive: true });
		addEventListener("resize", this.#resized);
		this.#resized();
	}

	disconnectedCallback() {
		removeEventListener("scroll", this.#later);
		removeEventListener("resize", this.#resized);
	}

	/** @param {any[]} rows */
	set rows(rows) {
		this.#rows = rows;
		this.#draw();
	}

	get rows() {
		return this.#rows;
	}

	/** Whether new rows may push the others: the list is at its top and no pointer is on a row. */
	get movable() {
		return this.getBoundingClientRect().top >= 0 && !this.#body.matches(":hover, :focus-within");
	}

	/** Focus the next or the previous row. @param {number} by */
	step(by) {
		const focused = /** @type {HTMLElement | null} */ (this.#body.querySelector(".row:focus-within"));
		const now = focused ? Number(focused.dataset.index) : by > 0 ? -1 : 0;
		const next = Math.max(0, Math.min(this.#rows.length - 1, now + by));
		const top = this.#body.getBoundingClientRect().top + next * this.#height;
		if (top < 96) scrollBy(0, top - 96);
		else if (top > innerHeight - 48) scrollBy(0, top - innerHeight + 48);
		this.#draw();
		const row = this.#rows[next];
		if (row) this.#shown.get(this.idOf(row))?.element.querySelector("a")?.focus();
	}

	#later = () => {
		this.#frame ||= requestAnimationFrame(() => {
			this.#frame = 0;
			this.#draw();
		});
	};

	#resized = () => {
		this.#height = parseFloat(getComputedStyle(this).getPropertyValue("--row")) || 32;
		this.#draw();
	};

	#draw() {
		if (!this.isConnected) return;
		const count = this.#rows.length;
		const none = !count && Boolean(this.empty);
		// A screen reader meets a table only when there are rows.
		this.setAttribute("role", none ? "group" : "table");
		this.#head.hidden = this.#body.hidden = none;
		put(this.#none, none && this.empty);
		if (none) this.removeAttribute("aria-rowcount");
		else this.setAttribute("aria-rowcount", String(count + 1));
		this.#body.style.height = `${count * this.#height}px`;
		const top = -this.#body.getBoundingClientRect().top;
		const first = Math.max(0, Math.floor(top / this.#height) - BEYOND);
		const last = Math.min(count, Math.ceil((top + innerHeight) / this.#height) + BEYOND);
		this.#fill(first, last);
		if (last >= count - 2 * BEYOND) this.onend();
	}

	/** @param {number} first @param {number} last */
	#fill(first, last) {
		const wanted = new Map();
		for (let index = first; index < last; index++) {
			const row = this.#rows[index];
			const id = this.idOf(row);
			const old = this.#shown.get(id);
			const element = old && old.row === row ? old.element : this.#row(row, old?.element);
			element.dataset.index = String(index);
			element.setAttribute("aria-rowindex", String(index + 2));
			element.style.transform = `translateY(${index * this.#height}px)`;
			wanted.set(id, { row, element });
			this.#shown.delete(id);
		}
		for (const { element } of this.#shown.values()) element.remove();
		this.#shown = wanted;
		let before = /** @type {ChildNode | null} */ (null);
		for (const { element } of wanted.values()) {
			if (!element.isConnected) this.#body.insertBefore(element, before ? before.nextSibling : this.#body.firstChild);
			before = element;
		}
	}

	/** @param {any} row @param {HTMLElement} [element] one to use again, so that focus stays */
	#row(row, element = h("div", { role: "row", class: "row" })) {
		const focused = element.contains(document.activeElement);
		put(
			element,
			this.columns.map((column) => h("span", { role: "cell", class: `c-${column.key}${column.number ? " n" : ""}` }, column.cell(row))),
		);
		if (focused) element.querySelector("a")?.focus();
		return element;
	}

	/** Open the row that was clicked beside its links. @param {MouseEvent} event */
	#open(event) {
		const target = /** @type {HTMLElement} */ (event.target);
		if (target.closest("a, button, input") || getSelection()?.toString()) return;
		const row = /** @type {HTMLElement | null} */ (target.closest(".row"));
		const href = row && this.hrefOf(this.#rows[Number(row.dataset.index)]);
		if (href)
			row.querySelector("a")?.dispatchEvent(
				new MouseEvent("click", {
					bubbles: true,
					cancelable: true,
					ctrlKey: event.ctrlKey,
					metaKey: event.metaKey,
				}),
			);
	}
}

customElements.define("data-table", DataTable);
