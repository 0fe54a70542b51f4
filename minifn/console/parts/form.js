// @ts-check
// Fields with their names, hints and problems; the server's rules are said at the field they are about.
import { ApiError } from "../api.js";
import { h, marked, put } from "./dom.js";

let count = 0;

/**
 * A control with its label, a hint, and room for a problem.
 * @param {string} title @param {HTMLElement} control its `name` is the API's param
 * @param {{hint?: Children}} [more]
 */
export function field(title, control, { hint } = {}) {
	const id = `field-${++count}`;
	control.id = id;
	control.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
	return h(
		"div",
		{ class: "field" },
		h("label", { for: id }, title),
		control,
		h("div", { class: "hint", id: `${id}-hint`, hidden: !hint }, hint),
		h("p", { class: "problem", id: `${id}-problem`, role: "alert" }),
	);
}

/** A box to tick. @param {string} name @param {string} title @param {boolean} checked @param {string} [value] */
export const check = (name, title, checked, value = "true") => h("label", { class: "check" }, h("input", { type: "checkbox", name, value, checked }), title);

/** @param {string} name @param {string[][]} options value and title @param {string} chosen */
export const choose = (name, options, chosen) =>
	h(
		"select",
		{ name },
		options.map(([value, title]) => h("option", { value, selected: value === chosen }, title ?? value)),
	);

/**
 * Call `send` when the form is submitted; show what the server says against it.
 * @param {HTMLFormElement} form @param {() => Promise<void>} send
 */
export function submits(form, send) {
	const general = h("p", { class: "problem", role: "alert" });
	form.append(general);
	form.noValidate = true;
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		const button = /** @type {HTMLButtonElement | null} */ (form.querySelector("button:not([type])"));
		for (const old of form.querySelectorAll(".problem")) old.textContent = "";
		for (const old of form.querySelectorAll(".wrong")) old.classList.remove("wrong");
		if (button) button.disabled = true;
		try {
			await send();
		} catch (error) {
			blame(form, general, /** @type {Error} */ (error));
		} finally {
			if (button) button.disabled = false;
		}
	});
	return form;
}

/** @param {HTMLFormElement} form @param {HTMLElement} general @param {Error} error */
function blame(form, general, error) {
	const named = error instanceof ApiError ? /^(?:Invalid|Param) [`"](\w+)[`"]/.exec(error.message) : null;
	const control = named && form.querySelector(`[name="${named[1]}"]`);
	const field = control?.closest(".field");
	const place = field?.querySelector(".problem") || general;
	field?.classList.add("wrong");
	put(place, marked(error.message.replace(/^Invalid `\w+` param: /, "")));
	if (control instanceof HTMLElement) control.focus();
}

/** Return the text of a control. @param {HTMLFormElement} form @param {string} name */
export const text = (form, name) => String(new FormData(form).get(name) ?? "").trim();
/** @param {HTMLFormElement} form @param {string} name */
export const ticked = (form, name) => new FormData(form).has(name);
/** Return the lines of a control that are not empty. @param {HTMLFormElement} form @param {string} name */
export const lines = (form, name) =>
	text(form, name)
		.split("\n")
		.map((line) => line.trim())
		.filter(Boolean);
/** Return what is ticked of several boxes with one name. @param {HTMLFormElement} form @param {string} name */
export const chosen = (form, name) => new FormData(form).getAll(name).map(String);
