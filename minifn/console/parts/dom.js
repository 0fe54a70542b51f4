// @ts-check
// Elements from plain values. Text is always text: there is no way to pass markup.

const SVG = "http://www.w3.org/2000/svg";

/** @param {Element} element @param {Props} props @param {(Children)[]} children */
function fill(element, props, children) {
	for (const [name, value] of Object.entries(props)) {
		if (value === undefined || value === null || value === false) continue;
		if (typeof value === "function") element.addEventListener(name.slice(2), value);
		else element.setAttribute(name, value === true ? "" : String(value));
	}
	for (const child of children.flat()) {
		if (child === null || child === undefined || child === false) continue;
		element.append(child instanceof Node ? child : String(child));
	}
	return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Props} [props] @param {...(Children)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
	return /** @type {any} */ (fill(document.createElement(tag), props, children));
}

/** Make an element of SVG. @param {string} tag @param {Props} [props] @param {...(Children)} children */
export function svg(tag, props = {}, ...children) {
	return fill(document.createElementNS(SVG, tag), props, children);
}

/** Make one of the console's own elements with its properties. @param {string} tag @param {Json} values @param {Props} [props] @returns {any} */
export function part(tag, values, props = {}) {
	return Object.assign(fill(document.createElement(tag), props, []), values);
}

/** @param {Element} element @param {...(Children)} children */
export function put(element, ...children) {
	element.replaceChildren();
	return fill(element, {}, children);
}

/** Return a small picture by its path in a square of 16. @param {string} d */
export const icon = (d) => svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d }));

/** Return a message of the server with its `names` as code. @param {string} text */
export const marked = (text) => text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));

/** Copy a text and say so on the button. @param {HTMLElement} button @param {string} text */
export async function copy(button, text) {
	await navigator.clipboard.writeText(text);
	const before = button.textContent;
	button.textContent = "Copied";
	setTimeout(() => (button.textContent = before), 1200);
}

/** Show a short message at the foot of the page, read aloud. @param {string} text */
export function announce(text) {
	const place = /** @type {HTMLElement} */ (document.getElementById("announcer"));
	place.textContent = text;
	place.hidden = false;
	clearTimeout(Number(place.dataset.timer));
	place.dataset.timer = String(setTimeout(() => (place.hidden = true), 4000));
}
