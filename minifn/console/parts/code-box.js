// @ts-check
// Text to read and to copy.
import { copy, h, part, put } from "./dom.js";

class CodeBox extends HTMLElement {
	text = "";

	connectedCallback() {
		const button = h("button", { type: "button" }, "Copy");
		button.addEventListener("click", () => copy(button, this.text));
		put(this, h("pre", { tabindex: 0 }, this.text), button);
	}
}

/** @param {string} text @returns {HTMLElement} */
export const code = (text) => part("code-box", { text });

customElements.define("code-box", CodeBox);
