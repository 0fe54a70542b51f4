// @ts-check
import { call, get } from "../api.js";
import { packed } from "../parts/tar.js";
import { h, put } from "../parts/dom.js";
import { check, choose, field, submits, text, ticked } from "../parts/form.js";
import { starter } from "../parts/starters.js";
import { upload } from "./deployments.js";

/** A new function, with first code when its language has some. @param {Page} page */
export default async function newFunction({ main, signal, title, go }) {
	title("New function");
	const { runtimes } = await get("functions/runtimes", {}, signal);
	const preferred = runtimes.findLast((one) => one.key === "python") || runtimes[0];
	const name = h("input", { name: "name", autocomplete: "off", required: true });
	const id = h("input", {
		name: "functionId",
		autocomplete: "off",
		spellcheck: "false",
		pattern: "[A-Za-z0-9][A-Za-z0-9._-]{0,35}",
	});
	const runtime = choose(
		"runtime",
		runtimes.map((one) => [one.$id, `${one.name} ${one.version}`]),
		preferred?.$id,
	);
	const code = check("code", "Begin with an example", true);
	name.addEventListener("input", () => (id.placeholder = idOf(name.value)));
	const form = h(
		"form",
		{ class: "form" },
		field("Name", name),
		field("ID", id, { hint: "Part of its address; it cannot change later." }),
		field("Runtime", runtime),
		code,
		check("public", "Everyone may call it", true),
		h("div", {}, h("button", { class: "primary" }, "Create")),
	);
	submits(form, async () => {
		const chosen = starter(runtime.value);
		const functionId = text(form, "functionId") || idOf(name.value);
		const json = {
			functionId,
			name: text(form, "name"),
			runtime: runtime.value,
			entrypoint: chosen?.[0] || "",
			execute: ticked(form, "public") ? ["any"] : [],
		};
		await call("POST", "functions", { json });
		if (!chosen || !ticked(form, "code")) return go(`functions/${functionId}/deployments`);
		await upload(functionId, await packed({ [chosen[0]]: chosen[1] }), "code.tar.gz");
		go(`functions/${functionId}/code`);
	});
	put(main, h("div", { class: "bar" }, h("h1", {}, "New function")), form);
	name.focus();
}

/** @param {string} name */
const idOf = (name) =>
	name
		.toLowerCase()
		.normalize("NFKD")
		.replace(/[^a-z0-9._-]+/g, "-")
		.replace(/^[^a-z0-9]+|-+$/g, "")
		.slice(0, 36) || "unique()";
