// @ts-check
// Variables of a function. A secret value is written, never read.
import { call, get } from "../api.js";
import "../parts/data-table.js";
import { confirmed, opened } from "../parts/dialogs.js";
import { announce, h, part, put } from "../parts/dom.js";
import { check, field, lines, text, ticked } from "../parts/form.js";
import { since } from "../parts/small.js";
import { empty } from "../parts/state.js";
import { counted } from "../parts/words.js";

/** @param {Page} page @param {Json} func */
export default async function variables({ main, signal, reload }, func) {
	const path = `functions/${func.$id}/variables`;
	const { variables: all } = await get(path, {}, signal);
	const columns = [
		{ key: "key", title: "Name", cell: (one) => h("code", {}, one.key) },
		{
			key: "value",
			title: "Value",
			cell: (one) => (one.secret ? h("span", { class: "muted" }, "secret") : h("code", {}, one.value)),
		},
		{
			key: "when",
			title: "Changed",
			number: true,
			cell: (one) => since(one.$updatedAt),
		},
		{
			key: "acts",
			title: "Actions",
			cell: (one) => [
				h("button", { class: "quiet", "aria-label": `Change ${one.key}`, onclick: () => change(one) }, "Change"),
				h("button", { class: "quiet", "aria-label": `Delete ${one.key}`, onclick: () => remove(one) }, "Delete"),
			],
		},
	];
	const table = part(
		"data-table",
		{
			columns,
			label: "Variables",
			empty: empty(
				"No variable yet",
				"Variables reach the code as its environment. A change takes effect at the next call.",
				h("pre", {}, `minifn vars ${func.$id} set NAME=value`),
			),
		},
		{ class: "variables" },
	);

	/** @param {Json} [one] */
	function change(one) {
		const key = h("input", {
			name: "key",
			value: one?.key || "",
			spellcheck: "false",
			autocomplete: "off",
		});
		const value = h("textarea", { name: "value", rows: 3, spellcheck: "false" });
		value.value = one?.value || "";
		const form = h(
			"form",
			{ class: "form" },
			field("Name", key),
			field("Value", value, {
				hint: one?.secret ? "The old value is not shown. Leave this empty to keep it." : "",
			}),
			one?.secret ? null : check("secret", "Secret: the value can never be read again", !one),
		);
		opened(one ? `Change ${one.key}` : "New variable", form, h("button", { class: "primary" }, "Save"), async () => {
			const secret = one?.secret || ticked(form, "secret");
			const json = {
				key: text(form, "key"),
				secret,
				...(value.value || !one?.secret ? { value: value.value } : {}),
			};
			if (one) await call("PUT", `${path}/${one.$id}`, { json });
			else await call("POST", path, { json: { variableId: "unique()", ...json } });
			reload();
		});
	}

	const remove = (one) =>
		confirmed(
			{
				title: `Delete ${one.key}?`,
				text: "The function no longer gets it from its next call on.",
				action: "Delete",
			},
			async () => (await call("DELETE", `${path}/${one.$id}`), reload()),
		);

	function paste() {
		const form = h(
			"form",
			{ class: "form" },
			field("Lines of a .env file", h("textarea", { name: "lines", rows: 8, spellcheck: "false", placeholder: "NAME=value" })),
			check("secret", "Secret", true),
		);
		opened("Add several", form, h("button", { class: "primary" }, "Save"), async () => {
			const pairs = lines(form, "lines")
				.filter((line) => !line.startsWith("#"))
				.map((line) => /^(?:export\s+)?(\w+)\s*=\s*(.*)$/.exec(line));
			if (pairs.some((pair) => !pair)) throw new Error("Each line is NAME=value.");
			for (const pair of pairs) {
				const [, key, value] = /** @type {RegExpExecArray} */ (pair);
				const json = {
					key,
					value: value.replace(/^(["'])(.*)\1$/, "$2"),
					secret: ticked(form, "secret"),
				};
				const old = all.find((one) => one.key === key);
				if (old)
					await call("PUT", `${path}/${old.$id}`, {
						json: { ...json, secret: old.secret || json.secret },
					});
				else await call("POST", path, { json: { variableId: "unique()", ...json } });
			}
			announce(`Saved ${counted(pairs.length, "variable")}`);
			reload();
		});
	}

	put(
		main,
		h("div", { class: "filters" }, h("button", { class: "primary", onclick: () => change() }, "New variable"), h("button", { onclick: paste }, "Add several")),
		table,
	);
	table.rows = all;
}
