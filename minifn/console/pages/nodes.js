// @ts-check
// The machines of the cluster: their load, their engine, and what is weak there. One can be emptied.
import { call, every, get } from "../api.js";
import { announce, h, put } from "../parts/dom.js";
import { checks, facts, id, status } from "../parts/small.js";
import { empty, failure } from "../parts/state.js";
import { counted, number, size, stated } from "../parts/words.js";

/** Resources that Ray counts for itself. */
const OWN = /^(CPU|memory|object_store_memory|node:.*|accelerator_type:.*)$/;

/** @param {Page} page */
export default async function nodes({ main, signal, title }) {
	title("Nodes");
	const sum = h("p", { class: "sum" });
	const place = h("div", { class: "two nodes" });
	/** @type {Map<string, ReturnType<typeof card>>} */
	const cards = new Map();
	const draw = async () => {
		const found = await get("minifn/nodes", {}, signal);
		if (!found.total) {
			cards.clear();
			put(place, found.cluster ? unmanned() : alone());
			put(sum, "");
			return;
		}
		put(sum, `${counted(found.total, "node")}, ${number(total(found.nodes, "cpus"))} CPUs, ${number(total(found.nodes, "running"))} running`);
		for (const gone of [...cards.keys()].filter((one) => !found.nodes.some((node) => node.id === one))) cards.delete(gone);
		for (const node of found.nodes) {
			if (!cards.has(node.id)) cards.set(node.id, card(draw));
			cards.get(node.id)?.show(node);
		}
		const wanted = found.nodes.map((node) => cards.get(node.id)?.element);
		if (wanted.some((one, index) => place.children[index] !== one) || place.children.length !== wanted.length) put(place, wanted);
	};
	await draw();
	put(main, h("div", { class: "bar" }, h("h1", {}, "Nodes"), sum), place);
	every(2_000, signal, draw);
}

const total = (nodes, name) => nodes.reduce((sum, node) => sum + node[name], 0);

/** A node. Its parts change in place: the focus and an open list stay. @param {() => Promise<void>} draw */
function card(draw) {
	let shown;
	const state = h("span");
	const name = h("h2");
	const reason = h("p", { class: "bad" });
	const load = h("div");
	const summary = h("summary");
	const list = h("ul", { class: "checks-list" });
	const details = h("details", {}, summary, list);
	const problem = h("div");
	const button = h("button", { onclick: () => change() });
	const element = h(
		"section",
		{ class: "card node" },
		h("div", { class: "row-of" }, state, h("span", { class: "space" }), button),
		name,
		reason,
		problem,
		load,
		details,
	);

	async function change() {
		button.disabled = true;
		try {
			await call(shown.drained ? "DELETE" : "POST", `minifn/nodes/${shown.id}/drain`);
			announce(shown.drained ? `${shown.host} gets calls again` : `${shown.host} gets no more calls`);
			put(problem);
			await draw();
		} catch (error) {
			put(problem, failure(error));
		}
		button.disabled = false;
	}

	function show(node) {
		shown = node;
		const weak = node.protections.filter((one) => stated(one.state)[0] !== "ok");
		element.setAttribute("aria-label", `Node ${node.host} ${node.id.slice(0, 8)}`);
		put(state, status(node.state));
		put(name, node.host, " ", h("span", { class: "muted" }, node.address));
		put(reason, node.reason);
		reason.hidden = !node.reason;
		put(button, node.drained ? "Undo drain" : "Drain");
		button.title = node.drained ? "Give this node calls again" : "Give this node no more calls; those that run there end";
		button.setAttribute("aria-label", `${node.drained ? "Undo drain of" : "Drain"} ${node.host} ${node.id.slice(0, 8)}`);
		put(load, facts(lines(node)));
		put(summary, weak.length ? `${counted(weak.length, "check")} not fine` : `${counted(node.protections.length, "check")}, all fine`);
		details.hidden = !node.protections.length;
		put(list, checks(node.protections.map((one) => ({ ...one, text: one.reason }))));
	}

	return { element, show };
}

function lines(node) {
	const offers = Object.entries(node.resources).filter(([name]) => !OWN.test(name));
	return /** @type {[string, Children][]} */ ([
		["id", id(node.id)],
		["running", node.drained && !node.running && !node.building ? "0, the node is empty" : number(node.running)],
		["waiting", number(node.waiting)],
		["building", number(node.building)],
		["workers", number(node.workers)],
		["CPUs", String(node.cpus)],
		["memory", `${size(node.memoryAvailableBytes)} free, ${size(node.memoryBytes)} offered`],
		["sandbox", node.engine || "not known yet"],
		...(offers.length ? [["resources", offers.map(([name, amount]) => `${name} ${amount}`).join(", ")]] : []),
	]);
}

const alone = () =>
	empty(
		"This server has no cluster",
		"It runs functions on its own machine. With a cluster of Ray, they run on more than one.",
		h("pre", {}, "pip install 'minifn[ray]'\nray start --head --node-ip-address 127.0.0.1\nminifn serve --cluster auto"),
		h("p", {}, h("a", { href: "../docs/cluster" }, "More than one machine")),
	);

const unmanned = () =>
	empty("The cluster has no node", "Functions wait until a machine joins.", h("pre", {}, "ray start --address HEAD:6379 --node-ip-address ADDRESS"));
