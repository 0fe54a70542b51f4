// @ts-check
import { h, put } from "../parts/dom.js";
import { executionList } from "../parts/execution-list.js";

/** Executions of all functions. @param {Page} page */
export default async function executions(page) {
	page.title("Executions");
	const place = h("section", { "aria-label": "Executions" });
	await executionList(place, page);
	put(page.main, h("h1", {}, "Executions"), place);
}
