// @ts-check
// API keys: their names, scopes and last use. A secret is shown once, when it is made.
import { call, get } from "../api.js";
import { code } from "../parts/code-box.js";
import "../parts/data-table.js";
import { confirmed, opened } from "../parts/dialogs.js";
import { h, part, put } from "../parts/dom.js";
import { check, chosen, field, lines, text } from "../parts/form.js";
import { since } from "../parts/small.js";
import { empty } from "../parts/state.js";
import { counted } from "../parts/words.js";

const SCOPES = [
	"functions.read",
	"functions.write",
	"execution.read",
	"execution.write",
	"rules.read",
	"rules.write",
	"events.write",
	"project.read",
	"project.write",
	"health.read",
];
const BEGIN = ["functions.read", "functions.write", "execution.read", "execution.write"];

/** @param {Page} page */
export default async function keys({ main, signal, title, reload }) {
	title("Keys");
	const { keys: all } = await get("minifn/keys", {}, signal);
	const columns = [
		{ key: "name", title: "Name", cell: (one) => one.name },
		{
			key: "scopes",
			title: "Scopes",
			cell: (one) => h("span", { title: one.scopes.join(", ") }, one.scopes.length > 2 ? counted(one.scopes.length, "scope") : one.scopes.join(", ")),
		},
		{
			key: "functions",
			title: "Functions",
			cell: (one) => (one.functions?.length ? one.functions.join(", ") : h("span", { class: "muted" }, "all")),
		},
		{
			key: "used",
			title: "Last use",
			cell: (one) => (one.accessedAt ? since(one.accessedAt) : h("span", { class: "muted" }, "not yet")),
		},
		{
			key: "when",
			title: "Created",
			number: true,
			cell: (one) => since(one.$createdAt),
		},
		{
			key: "acts",
			title: "Actions",
			cell: (one) => h("button", { class: "quiet", "aria-label": `Delete ${one.name}`, onclick: () => remove(one) }, "Delete"),
		},
	];
	const table = part(
		"data-table",
		{
			columns,
			label: "API keys",
			empty: empty(
				"No API key yet",
				"A key lets a program or a person call this API, with no more than the scopes you give it.",
				h("pre", {}, "minifn keys create --name ci --scope functions.write"),
			),
		},
		{ class: "keys" },
	);
	const remove = (one) =>
		confirmed(
			{
				title: `Delete ${one.name}?`,
				text: "Programs with this key are refused from now on.",
				action: "Delete",
			},
			async () => (await call("DELETE", `minifn/keys/${one.$id}`), reload()),
		);

	function make() {
		const form = h(
			"form",
			{ class: "form" },
			field("Name", h("input", { name: "name", autocomplete: "off" })),
			h(
				"fieldset",
				{},
				h("legend", {}, "Scopes"),
				h(
					"div",
					{ class: "checks" },
					SCOPES.map((scope) => check("scopes", scope, BEGIN.includes(scope), scope)),
				),
			),
			field("Functions", h("textarea", { name: "functions", rows: 2, spellcheck: "false" }), {
				hint: "One id a line; team-* for all that begin so. Empty for all functions.",
			}),
		);
		opened("New key", form, h("button", { class: "primary" }, "Create"), async () => {
			const made = await call("POST", "minifn/keys", {
				json: {
					name: text(form, "name"),
					scopes: chosen(form, "scopes"),
					functions: lines(form, "functions"),
				},
			});
			show(made);
		});
	}

	function show(made) {
		const dialog = h(
			"dialog",
			{ "aria-label": "The new key" },
			h("h2", {}, made.name),
			h("p", {}, "Copy the secret now: it is not shown again."),
			code(made.secret),
			h("footer", {}, h("button", { class: "primary", onclick: () => dialog.close() }, "Done")),
		);
		dialog.addEventListener("close", () => (dialog.remove(), reload()));
		document.body.append(dialog);
		dialog.showModal();
	}

	put(main, h("div", { class: "bar" }, h("h1", {}, "Keys"), h("span", { class: "space" }), h("button", { class: "primary", onclick: make }, "New key")), table);
	table.rows = all;
}
