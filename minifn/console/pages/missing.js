// @ts-check
import { h, put } from "../parts/dom.js";
import { empty } from "../parts/state.js";

/** The page of an address that leads nowhere. @param {Page} page */
export default function missing({ main, title }) {
	title("Not found");
	put(
		main,
		h("h1", {}, "Not found"),
		empty("There is no page at this address", "It may belong to something that was deleted.", h("a", { class: "button", href: "./" }, "All functions")),
	);
}
