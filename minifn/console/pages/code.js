// @ts-check
// A small editor for functions of a few text files: saving packs them and deploys.
import { get, stream } from "../api.js";
import { confirmed, opened } from "../parts/dialogs.js";
import { h, part, put } from "../parts/dom.js";
import { field, text } from "../parts/form.js";
import "../parts/log-view.js";
import { status } from "../parts/small.js";
import { starter } from "../parts/starters.js";
import { empty } from "../parts/state.js";
import { packed } from "../parts/tar.js";
import { upload } from "./deployments.js";

/** Most files, and most bytes of all of them. */
const FILES_MAX = 40;
const BYTES_MAX = 500_000;

/** @param {Page} page @param {Json} func */
export default async function editor({ main, query, signal, setQuery }, func) {
	const found = await load(func, signal);
	if (typeof found === "string") return void put(main, empty("This code is edited elsewhere", found, h("pre", {}, `minifn deploy ${func.$id}`)));
	const files = found;
	let open = query.get("file") || func.entrypoint;
	if (!(open in files)) open = Object.keys(files)[0];
	const area = h("textarea", {
		class: "editor",
		spellcheck: "false",
		autocapitalize: "off",
		autocomplete: "off",
		wrap: "off",
	});
	const gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
	const names = h("div", { class: "files", role: "group", "aria-label": "Files" });
	const log = part("log-view", { label: "Build log", empty: "" });
	const state = h("span", { role: "status", class: "muted" });
	const save = h("button", { class: "primary", title: "Save and deploy (Ctrl S)", onclick: () => deploy() }, "Save and deploy");
	const count = () => (gutter.textContent = Array.from({ length: area.value.split("\n").length }, (_, line) => line + 1).join("\n"));

	/** @param {string} name */
	function show(name) {
		open = name;
		setQuery({ file: name === func.entrypoint ? "" : name });
		area.value = files[name];
		area.setAttribute("aria-label", name);
		count();
		put(
			names,
			Object.keys(files)
				.sort()
				.map((one) => h("button", { class: "quiet", "aria-pressed": String(one === name), onclick: () => show(one) }, one)),
			h("button", { class: "quiet", onclick: add }, "+ file"),
			h("button", { class: "quiet", disabled: name === func.entrypoint, onclick: remove }, "Delete"),
		);
	}

	function add() {
		const form = h(
			"form",
			{ class: "form" },
			field(
				"Path",
				h("input", {
					name: "path",
					autocomplete: "off",
					spellcheck: "false",
					placeholder: "requirements.txt",
				}),
			),
		);
		opened("New file", form, h("button", { class: "primary" }, "Add"), async () => {
			const name = text(form, "path");
			if (!/^[\w.@+-]+(\/[\w.@+-]+)*$/.test(name) || name.split("/").includes(".."))
				throw new Error("A path is letters, digits and ._-@+ with / between folders.");
			files[name] ??= "";
			show(name);
		});
	}

	const remove = () =>
		confirmed(
			{ title: `Delete ${open}?`, text: "It is gone with the next save.", action: "Delete" },
			async () => (delete files[open], show(Object.keys(files)[0])),
		);

	async function deploy() {
		save.disabled = true;
		log.clear();
		try {
			put(state, "saving");
			const made = await upload(func.$id, await packed(files), "code.tar.gz");
			put(state, status("building"));
			/** @type {any} */ let end = null;
			await stream(`minifn/build-logs/${made.$id}`, {}, (name, data) => (name === "log" ? log.print(data.text) : name === "end" && (end = data)), signal);
			log.end();
			put(state, status(end?.status || "building"), end?.status === "ready" ? h("a", { href: `functions/${func.$id}/try` }, " Try it") : "");
		} catch (error) {
			if (!signal.aborted) put(state, h("span", { class: "bad" }, /** @type {Error} */ (error).message));
		}
		save.disabled = false;
	}

	area.addEventListener("input", () => ((files[open] = area.value), count()));
	area.addEventListener("scroll", () => (gutter.scrollTop = area.scrollTop));
	area.addEventListener("keydown", (event) => keys(event, area, deploy));
	put(main, h("div", { class: "filters" }, names, h("span", { class: "space" }), state, save), h("div", { class: "editing" }, gutter, area), log);
	show(open);
}

/** Indent with Tab, unless Escape was pressed before it; save with Ctrl S. @param {KeyboardEvent} event @param {HTMLTextAreaElement} area @param {() => void} save */
function keys(event, area, save) {
	if ((event.ctrlKey || event.metaKey) && event.key === "s") {
		event.preventDefault();
		save();
	} else if (event.key === "Escape") area.dataset.leave = "1";
	else if (event.key === "Tab" && !event.shiftKey && !area.dataset.leave) {
		event.preventDefault();
		area.setRangeText("    ", area.selectionStart, area.selectionEnd, "end");
		area.dispatchEvent(new Event("input"));
	} else delete area.dataset.leave;
}

/** Return the files of the active deployment, the starter of a new function, or why not. @param {Json} func @param {AbortSignal} signal @returns {Promise<Record<string, string> | string>} */
async function load(func, signal) {
	const from = func.deploymentId || func.latestDeploymentId;
	if (!from) {
		const first = starter(func.runtime);
		return first ? { [func.entrypoint || first[0]]: first[1] } : "This language needs more than one file to begin with. Deploy a folder from a terminal:";
	}
	const path = `minifn/deployments/${from}/files`;
	const { files } = await get(path, {}, signal);
	if (files.some((one) => one.binary)) return "It has files that are not text. Deploy the folder from a terminal:";
	const bytes = files.reduce((sum, one) => sum + one.size, 0);
	if (files.length > FILES_MAX || bytes > BYTES_MAX) return "It has too many files for this editor. Deploy the folder from a terminal:";
	const contents = await Promise.all(files.map(async (one) => [one.path, (await get(`${path}/content`, { path: one.path }, signal)).content]));
	return Object.fromEntries(contents);
}
