// @ts-check
// Questions before something is lost, and forms in a dialog.
import { h } from "./dom.js";
import { submits } from "./form.js";

/**
 * Ask, and do it when the answer is yes; what the server says against it is shown.
 * @param {{title: string, text: string, action: string, type?: string}} question `type` must be typed first
 * @param {() => Promise<void>} act
 */
export function confirmed({ title, text, action, type }, act) {
	const typed = type
		? h("input", {
				name: "typed",
				"aria-label": `Type ${type}`,
				autocomplete: "off",
				placeholder: type,
			})
		: null;
	const button = h("button", { class: "danger", disabled: Boolean(type) }, action);
	typed?.addEventListener("input", () => (button.disabled = typed.value !== type));
	const form = h("form", { class: "form" }, h("p", {}, text), typed && h("div", { class: "field" }, h("label", {}, `Type ${type} to go on`), typed));
	return opened(title, form, button, act);
}

/**
 * Show a form in a dialog. It closes when `send` returns.
 * @param {string} title @param {HTMLFormElement} form @param {HTMLButtonElement} button @param {() => Promise<void>} send
 */
export function opened(title, form, button, send) {
	const dialog = h("dialog", { "aria-label": title }, h("h2", {}, title), form);
	submits(form, async () => {
		await send();
		dialog.close();
	});
	form.append(h("footer", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
	dialog.addEventListener("close", () => dialog.remove());
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}
