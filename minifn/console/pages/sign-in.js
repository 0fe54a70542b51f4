// @ts-check
import { h, marked, put } from "../parts/dom.js";

/**
 * Ask for the admin key.
 * @param {HTMLElement} main @param {string} problem @param {(key: string) => Promise<void>} enter
 */
export default function signIn(main, problem, enter) {
	const error = h("p", { class: "problem", role: "alert", id: "problem", hidden: !problem }, marked(problem));
	const key = h("input", {
		type: "password",
		id: "key",
		name: "key",
		autocomplete: "current-password",
		required: true,
		"aria-describedby": "problem",
		spellcheck: "false",
	});
	const button = h("button", { class: "primary" }, "Sign in");
	const form = h(
		"form",
		{ class: "sign-in" },
		h("h1", {}, "minifn"),
		h("label", { for: "key" }, "Admin key"),
		key,
		error,
		button,
		h(
			"p",
			{ class: "muted" },
			"The key is in the file ",
			h("code", {}, "admin.key"),
			" of the server’s data directory. The link that the server prints at its start signs you in without it.",
		),
	);
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		button.disabled = true;
		try {
			await enter(key.value.trim());
		} catch (problem) {
			put(error, marked(/** @type {Error} */ (problem).message));
			error.hidden = false;
			key.select();
		}
		button.disabled = false;
	});
	put(main, form);
	key.focus();
}
