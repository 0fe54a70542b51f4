// @ts-check
// A body as text, as a tree of JSON, as a picture, or in hexadecimal digits.
import { h, put } from "./dom.js";
import { counted, size } from "./words.js";

const TEXT_CHARS_MAX = 100_000;
const HEX_BYTES_MAX = 4096;
/** Nodes of a tree that are shown at once. */
const CHILDREN_MAX = 200;

/**
 * Return a body with a choice of views.
 * @param {Uint8Array<ArrayBuffer>} bytes @param {string} type its content type
 */
export function bodyView(bytes, type) {
	const text = decoded(bytes);
	/** @type {Record<string, () => Node>} */
	const views = {};
	const json = text === null ? undefined : parsed(text);
	if (json !== undefined && typeof json === "object") views.JSON = () => h("div", { class: "tree" }, tree(json));
	if (/^image\/(png|jpeg|gif|webp|avif)/.test(type)) views.Picture = () => picture(bytes, type);
	if (text !== null) views.Text = () => plain(text);
	views.Hex = () => h("pre", {}, hex(bytes));
	if (!bytes.length) return h("p", { class: "muted" }, "The body is empty.");
	const shown = h("div", {});
	const buttons = Object.keys(views).map((name) => h("button", { class: "quiet", onclick: () => show(name) }, name));
	/** @param {string} name */
	function show(name) {
		put(shown, views[name]());
		for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
	}
	show(Object.keys(views)[0]);
	return h("div", { class: "body" }, h("div", { class: "views" }, buttons, h("span", { class: "muted" }, size(bytes.length))), shown);
}

/** @param {Uint8Array} bytes */
function decoded(bytes) {
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch {
		return null;
	}
}

/** @param {string} text */
function parsed(text) {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

/** @param {string} text */
function plain(text) {
	const cut = text.length > TEXT_CHARS_MAX ? h("p", { class: "muted" }, `The first ${TEXT_CHARS_MAX} characters are shown.`) : null;
	return h("div", {}, h("pre", { tabindex: 0 }, text.slice(0, TEXT_CHARS_MAX)), cut);
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {string} type */
function picture(bytes, type) {
	const image = h("img", { alt: "The body as a picture" });
	const reader = new FileReader();
	reader.addEventListener("load", () => (image.src = String(reader.result)));
	reader.readAsDataURL(new Blob([bytes], { type: type.split(";")[0] }));
	return image;
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
	const lines = [];
	for (let start = 0; start < Math.min(bytes.length, HEX_BYTES_MAX); start += 16) {
		const row = [...bytes.subarray(start, start + 16)];
		const digits = row.map((one) => one.toString(16).padStart(2, "0")).join(" ");
		const signs = row.map((one) => (one > 31 && one < 127 ? String.fromCharCode(one) : ".")).join("");
		lines.push(`${start.toString(16).padStart(6, "0")}  ${digits.padEnd(48)} ${signs}`);
	}
	if (bytes.length > HEX_BYTES_MAX) lines.push(`… ${size(bytes.length - HEX_BYTES_MAX)} more`);
	return lines.join("\n");
}

/** @param {any} value @param {string} [name] @returns {HTMLElement} */
function tree(value, name) {
	const label = name === undefined ? null : h("span", { class: "name" }, `${name}: `);
	if (value === null || typeof value !== "object") return h("div", { class: "leaf" }, label, h("span", { class: typeof value }, JSON.stringify(value)));
	const entries = Object.entries(value);
	const kind = Array.isArray(value) ? counted(entries.length, "item") : counted(entries.length, "field");
	const node = h("details", {}, h("summary", {}, label, h("span", { class: "muted" }, kind)));
	const open = () => {
		if (!node.open || node.children.length > 1) return;
		node.append(...entries.slice(0, CHILDREN_MAX).map(([key, one]) => tree(one, key)));
		if (entries.length > CHILDREN_MAX) node.append(h("div", { class: "muted" }, `… ${entries.length - CHILDREN_MAX} more`));
	};
	node.addEventListener("toggle", open);
	node.open = name === undefined || entries.length <= 4;
	open();
	return node;
}
