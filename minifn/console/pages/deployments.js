// @ts-check
import { address, call, every, get, where } from "../api.js";
import "../parts/data-table.js";
import { announce, h, part, put } from "../parts/dom.js";
import { since, status } from "../parts/small.js";
import { empty } from "../parts/state.js";
import { size, span } from "../parts/words.js";

const EVERY_MS = 3000;

/** Where a deployment came from. @param {Json} one */
export function source(one) {
	if (one.providerCommitHash) return `${one.providerCommitHash.slice(0, 7)} ${one.providerCommitMessage}`;
	return { cli: "from a terminal", vcs: "from git", manual: "uploaded" }[/** @type {"cli"} */ (one.type)] || one.type;
}

/** The deployments of a function, newest first. @param {Page} page @param {Json} func */
export default async function deployments({ main, signal, go }, func) {
	let active = func.deploymentId;
	const href = (one) => `functions/${func.$id}/deployments/${one.$id}`;
	const columns = [
		{
			key: "status",
			title: "Status",
			cell: (one) => status(one.status, one.$id === active ? "active" : ""),
		},
		{
			key: "id",
			title: "Deployment",
			cell: (one) => h("a", { href: href(one) }, one.$id),
		},
		{ key: "source", title: "Source", cell: (one) => source(one) },
		{
			key: "time",
			title: "Build",
			number: true,
			cell: (one) => (one.buildDuration ? span(one.buildDuration) : ""),
		},
		{
			key: "size",
			title: "Size",
			number: true,
			cell: (one) => size(one.totalSize),
		},
		{
			key: "when",
			title: "Created",
			number: true,
			cell: (one) => since(one.$createdAt),
		},
	];
	const table = part("data-table", { columns, hrefOf: href, label: "Deployments", empty: nothing(func) }, { class: "deployments" });
	const load = async () => {
		const found = await get(`functions/${func.$id}/deployments`, { "queries[]": [where("limit", [200]), where("orderDesc", [], "$createdAt")] }, signal);
		table.rows = found.deployments;
	};
	await load();
	put(main, h("div", { class: "filters" }, uploader(func.$id, go), h("span", { class: "muted" }, "A .tar.gz or .zip with the code.")), table);
	table.rows = table.rows;
	every(EVERY_MS, signal, async () => {
		active = (await get(`functions/${func.$id}`, {}, signal)).deploymentId;
		await load();
	});
}

/** A button that uploads an archive. @param {string} functionId @param {(path: string) => void} go */
function uploader(functionId, go) {
	const file = h("input", {
		type: "file",
		accept: ".gz,.tgz,.zip",
		hidden: true,
		"aria-label": "Archive",
	});
	const button = h("button", { onclick: () => file.click() }, "Upload an archive");
	file.addEventListener("change", async () => {
		const chosen = file.files?.[0];
		if (!chosen) return;
		button.disabled = true;
		try {
			go(`functions/${functionId}/deployments/${(await upload(functionId, chosen, chosen.name)).$id}`);
		} catch (error) {
			announce(/** @type {Error} */ (error).message);
			button.disabled = false;
		}
	});
	return h("span", {}, button, file);
}

/** Upload an archive and return the deployment. @param {string} functionId @param {Blob} archive @param {string} name @returns {Promise<Json>} */
export function upload(functionId, archive, name) {
	const form = new FormData();
	form.append("code", archive, name);
	form.append("activate", "true");
	return call("POST", `functions/${functionId}/deployments`, { form });
}

function nothing(func) {
	return empty(
		"No deployment yet",
		"Write the code here in the browser, or deploy a folder from a terminal:",
		h("pre", {}, `minifn deploy ${func.$id}`),
		h("a", { class: "button", href: `functions/${func.$id}/code` }, "Write code"),
	);
}

/** The address of a deployment's archive. @param {string} functionId @param {string} deploymentId @param {string} token */
export const download = (functionId, deploymentId, token) =>
	address(`functions/${functionId}/deployments/${deploymentId}/download`, {
		token,
		type: "source",
	});
