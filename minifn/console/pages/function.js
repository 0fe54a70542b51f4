// @ts-check
// A function: its name and state, and the tabs.
import { get } from "../api.js";
import { h, put } from "../parts/dom.js";
import { executionList } from "../parts/execution-list.js";
import { id, since, status } from "../parts/small.js";

/** Tab of the address -> its name and its module. @type {Record<string, [string, string]>} */
const TABS = {
	executions: ["Executions", ""],
	try: ["Try it", "try"],
	deployments: ["Deployments", "deployments"],
	variables: ["Variables", "variables"],
	settings: ["Settings", "settings"],
	usage: ["Usage", "usage"],
	code: ["Code", "code"],
};

/** Statuses of a build that has not ended. */
const BUILDING = ["waiting", "processing", "building"];

/** @param {Page} page */
export default async function functionPage(page) {
	const { params, main, signal, title } = page;
	const tab = TABS[params[1]] ? params[1] : "executions";
	const one = await get(`functions/${params[0]}`, {}, signal);
	title(`${one.name} · ${TABS[tab][0]}`);
	const place = h("section", { "aria-label": TABS[tab][0] });
	const inside = { ...page, main: place, params: [one.$id] };
	if (tab === "executions") await executionList(place, page, one.$id);
	else await (await import(`./${TABS[tab][1]}.js`)).default(inside, one);
	if (!signal.aborted) put(main, heading(one, tab, page.session), place);
}

/** @param {Json} one @param {string} current the tab that is open @param {Session} session */
export function heading(one, current, session) {
	const links = Object.entries(TABS).map(([tab, [name]]) =>
		h("a", { href: `functions/${one.$id}/${tab}`, "aria-current": tab === current ? "page" : undefined }, name),
	);
	return h(
		"div",
		{},
		h("div", { class: "bar" }, h("h1", {}, one.name), one.name !== one.$id && id(one.$id, 24), state(one), own(one, session)),
		h("nav", { class: "tabs", "aria-label": one.name }, links),
	);
}

function state(one) {
	const when = one.deploymentCreatedAt ? [" · deployed ", since(one.deploymentCreatedAt)] : [];
	return h("span", { class: "muted sum" }, `${one.runtime} · `, status(...stateOf(one)), when);
}

/** The state, as the overview has it, and its word if that differs. @param {Json} one @returns {[string, string?]} */
function stateOf(one) {
	if (!one.enabled) return ["disabled"];
	if (BUILDING.includes(one.latestDeploymentStatus)) return ["building"];
	if (one.latestDeploymentStatus === "failed") return ["failed", "build failed"];
	return [one.deploymentId ? "ready" : "empty"];
}

/** A link to the function's own address. @param {Json} one @param {Session} session */
function own(one, { endpoint, functionsDomain }) {
	const { protocol, port } = new URL(endpoint);
	const href = `${protocol}//${one.$id}.${functionsDomain}${port && `:${port}`}/`;
	return h("a", { class: "own", href, target: "_blank", rel: "noopener noreferrer" }, href);
}
