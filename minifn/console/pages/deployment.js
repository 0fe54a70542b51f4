// @ts-check
// One deployment: its build as it happens, its files, and what to do with it.
import { call, every, get, send, stream } from "../api.js";
import { confirmed } from "../parts/dialogs.js";
import { difference } from "../parts/difference.js";
import { announce, h, part, put } from "../parts/dom.js";
import "../parts/log-view.js";
import { facts, id, since, status } from "../parts/small.js";
import { failure } from "../parts/state.js";
import { size, span } from "../parts/words.js";
import { download, source } from "./deployments.js";
import { heading } from "./function.js";

const OVER = ["ready", "failed", "canceled"];

/** @param {Page} page */
export default async function deployment(page) {
	const { params, main, signal, title, reload, go } = page;
	const [functionId, deploymentId] = params;
	const path = `functions/${functionId}/deployments/${deploymentId}`;
	let func = await get(`functions/${functionId}`, {}, signal);
	/** @type {Json} */
	let one = await get(path, {}, signal);
	const log = part("log-view", { label: "Build log", empty: "The build has printed nothing." });
	const head = h("div", {});
	const files = h("div", {});
	const draw = () => {
		title(`${func.name} · ${one.status}`);
		put(head, summary(one, func), actions(one, func, { path, reload, go }));
	};
	put(main, heading(func, "deployments", page.session), head, h("h2", {}, "Build log"), log, files);
	draw();
	showFiles(files, one, func, signal).catch((error) => signal.aborted || put(files, failure(error)));
	const refresh = async () => {
		one = await get(path, {}, signal);
		func = await get(`functions/${functionId}`, {}, signal);
		draw();
	};
	every(2000, signal, async () => {
		if (!OVER.includes(one.status)) await refresh();
	});
	await Promise.resolve();
	follow(log, deploymentId, one, signal)
		.then(refresh)
		.catch(() => {});
}

/** Show the build log, live, or whole when the build is over. @param {any} log @param {string} deploymentId @param {Json} one @param {AbortSignal} signal */
async function follow(log, deploymentId, one, signal) {
	try {
		await stream(
			`minifn/build-logs/${deploymentId}`,
			{},
			(name, data) => {
				if (name === "log") log.print(data.text);
			},
			signal,
		);
	} catch (error) {
		if (signal.aborted) throw error;
		log.clear();
		log.print(one.buildLogs);
	}
	log.end();
}

function summary(one, func) {
	const active = one.$id === func.deploymentId;
	const built = one.buildDuration ? ` · built in ${span(one.buildDuration)}` : "";
	const failed = one.status === "failed" ? h("p", { class: "bad problem-line" }, failedBecause(one.buildLogs)) : null;
	return h(
		"div",
		{ class: "summary" },
		h(
			"p",
			{},
			status(one.status),
			active ? " · active" : "",
			` · ${source(one)} · `,
			since(one.$createdAt),
			built,
			` · ${size(one.totalSize)} · `,
			id(one.$id),
		),
		failed,
	);
}

/** The line of a build log that says why it failed. @param {string} logs */
function failedBecause(logs) {
	// eslint-disable-next-line no-control-regex
	const lines = logs
		.replace(/\x1b\[[0-9;]*m/g, "")
		.trim()
		.split("\n")
		.filter(Boolean);
	const said = lines.findLast((line) => /error|failed|not found/i.test(line)) || lines[lines.length - 1] || "The build printed nothing.";
	return `Build failed: ${said.trim().slice(0, 300)}`;
}

/** @param {Json} one @param {Json} func @param {{path: string, reload: () => void, go: (path: string) => void}} page */
function actions(one, func, { path, reload, go }) {
	const active = one.$id === func.deploymentId;
	const older = func.deploymentCreatedAt && one.$createdAt < func.deploymentCreatedAt;
	/** @param {string} word @param {() => Promise<void>} act @param {string} [name] */
	const button = (word, act, name = "") => h("button", { class: name, onclick: () => act().catch((error) => announce(error.message)) }, word);
	const row = h("div", { class: "row-of actions" });
	if (one.status === "ready" && !active)
		row.append(
			button(
				older ? "Roll back to this" : "Activate",
				async () => (
					await call("PATCH", `functions/${func.$id}/deployment`, {
						json: { deploymentId: one.$id },
					}),
					reload()
				),
				"primary",
			),
		);
	if (!OVER.includes(one.status)) row.append(button("Cancel the build", async () => (await call("PATCH", `${path}/status`), reload())));
	else
		row.append(
			button("Build again", async () =>
				go(`functions/${func.$id}/deployments/${(await call("POST", `functions/${func.$id}/deployments/duplicate`, { json: { deploymentId: one.$id } })).$id}`),
			),
		);
	row.append(button("Download", () => save(func.$id, one.$id)));
	if (!active)
		row.append(
			button(
				"Delete",
				async () =>
					void confirmed(
						{
							title: "Delete this deployment?",
							text: "Its code and its build are removed.",
							action: "Delete",
						},
						async () => (await call("DELETE", path), go(`functions/${func.$id}/deployments`)),
					),
				"danger",
			),
		);
	return row;
}

/** @param {string} functionId @param {string} deploymentId */
async function save(functionId, deploymentId) {
	const answer = await send("GET", download(functionId, deploymentId, ""));
	const url = URL.createObjectURL(await answer.blob());
	h("a", { href: url, download: `${functionId}-${deploymentId}.tar.gz` }).click();
	URL.revokeObjectURL(url);
}

/** @param {HTMLElement} place @param {Json} one @param {Json} func @param {AbortSignal} signal */
async function showFiles(place, one, func, signal) {
	const path = `minifn/deployments/${one.$id}/files`;
	const { files } = await get(path, {}, signal);
	const shown = h("div", {});
	const open = async (name) =>
		put(shown, h("h3", { class: "mono" }, name), h("pre", { tabindex: 0 }, (await get(`${path}/content`, { path: name }, signal)).content));
	const rows = files.map((file) => [file.binary ? file.path : h("button", { class: "link", onclick: () => open(file.path) }, file.path), size(file.size)]);
	const other = func.deploymentId && func.deploymentId !== one.$id;
	const diff = other && h("button", { onclick: async () => put(shown, await difference(func.deploymentId, one.$id, signal)) }, "Diff with active");
	put(
		place,
		h("div", { class: "bar files-bar" }, h("h2", {}, "Files"), diff),
		rows.length ? facts(rows) : h("p", { class: "muted" }, "The archive is empty."),
		shown,
	);
}
