// @ts-check
// The keys that work on every page, and the list of them with a link to the documentation.
import { h } from "./dom.js";
import { PLACES } from "./frame.js";

const KEYS = [
	["/", "search"],
	...PLACES.map(([, name, key]) => [`g ${key}`, name.toLowerCase()]),
	["j  k", "next and previous row"],
	["Enter", "open the row"],
	["r", "run again, or reload"],
	["n", "new function"],
	["?", "this list and the documentation"],
];

/** Listen to keys. @param {(path: string) => void} go */
export function listen(go) {
	let after = "";
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
		const key = after + event.key;
		after = event.key === "g" && !after ? "g " : "";
		const place = PLACES.find(([, , letter]) => key === `g ${letter}`);
		if (place) go(place[0]);
		else if (key === "n") go("new");
		else if (key === "?") help();
		else if (key === "/") focus("[type=search]");
		else if (key === "j" || key === "k") move(key === "j" ? 1 : -1);
		else if (key === "r")
			/** @type {HTMLElement | null} */ (document.querySelector("[data-key=r]"))?.click();
		else return;
		event.preventDefault();
	});
}

/** @param {EventTarget | null} target */
const typing = (target) => target instanceof HTMLElement && target.matches("input, textarea, select, dialog *");

/** @param {string} selector */
function focus(selector) {
	/** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();
}

/** @param {number} step */
function move(step) {
	const table = /** @type {any} */ (document.querySelector("data-table"));
	table?.step(step);
}

/** Show the list of keys. */
export function help() {
	const dialog = h("dialog", { "aria-label": "Help", class: "keys" });
	dialog.append(
		h("h2", {}, "Keyboard"),
		h(
			"dl",
			{},
			KEYS.map(([key, effect]) =>
				h(
					"div",
					{},
					h(
						"dt",
						{},
						key
							.split(" ")
							.filter(Boolean)
							.map((one) => h("kbd", {}, one)),
					),
					h("dd", {}, effect),
				),
			),
		),
		h("footer", {}, h("a", { href: "../docs/" }, "Documentation"), h("button", { autofocus: true, onclick: () => dialog.close() }, "Close")),
	);
	dialog.addEventListener("close", () => dialog.remove());
	document.body.append(dialog);
	dialog.showModal();
}
