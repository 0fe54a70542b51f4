// @ts-check
// Calls a function by hand: what to send, as whom, and what came back. Kept in this browser.
import { get } from "../api.js";
import { bodyView } from "../parts/body-view.js";
import { run } from "../parts/calls.js";
import { code } from "../parts/code-box.js";
import { h, part, put } from "../parts/dom.js";
import { choose, field, submits, text } from "../parts/form.js";
import "../parts/log-view.js";
import { facts, status } from "../parts/small.js";
import { curl, node, python, terminal } from "../parts/snippets.js";
import { duration } from "../parts/words.js";

const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const WHOM = [
	["", "the operator"],
	["guest", "a guest"],
	["jwt", "a user, by a JWT"],
];

/** @param {Page} page @param {Json} one */
export default async function tryIt({ main, query, session, signal }, one) {
	const kept = `try:${one.$id}`;
	const before = await start(kept, query.get("execution"), signal);
	const control = {
		method: choose(
			"method",
			METHODS.map((name) => [name]),
			before.method,
		),
		path: h("input", {
			name: "path",
			value: before.path,
			spellcheck: "false",
			"aria-label": "Path",
		}),
		headers: h("textarea", {
			name: "headers",
			rows: 2,
			spellcheck: "false",
			placeholder: "accept: application/json",
		}),
		body: h("textarea", { name: "body", rows: 8, spellcheck: "false" }),
		whom: choose("whom", WHOM, ""),
		jwt: h("input", {
			name: "jwt",
			autocomplete: "off",
			"aria-label": "JWT",
			placeholder: "JWT",
			hidden: true,
		}),
	};
	control.method.setAttribute("aria-label", "Method");
	control.headers.value = Object.entries(before.headers)
		.map((pair) => pair.join(": "))
		.join("\n");
	control.body.value = before.body;
	control.whom.addEventListener("change", () => (control.jwt.hidden = control.whom.value !== "jwt"));
	const send = h("button", { class: "primary", "data-key": "r" }, "Send");
	const form = h(
		"form",
		{ class: "form" },
		h("div", { class: "row-of" }, control.method, control.path, send),
		field("Headers", control.headers, { hint: "One a line: name: value" }),
		field("Body", control.body),
		field("As", control.whom),
		control.jwt,
	);
	const result = h("div", { class: "result", "aria-live": "polite" }, h("p", { class: "muted" }, "The answer appears here."));
	const lines = h("div", {});
	/** @returns {Asked} */
	const asked = () => ({
		method: control.method.value,
		path: text(form, "path") || "/",
		headers: headersOf(control.headers.value),
		body: control.body.value,
	});
	const changed = () => {
		localStorage.setItem(kept, JSON.stringify(asked()));
		put(lines, snippets(session, one.$id, asked()));
	};
	form.addEventListener("input", changed);
	submits(form, async () => {
		changed();
		const whom = control.whom.value === "jwt" ? control.jwt.value.trim() : control.whom.value;
		put(result, h("p", { class: "muted" }, "Running…"));
		try {
			put(result, shown(await run(one.$id, asked(), { whom })));
		} catch (error) {
			put(result, h("p", { class: "bad", role: "alert" }, /** @type {Error} */ (error).message));
		}
	});
	put(main, h("div", { class: "split" }, form, h("div", {}, result)), lines);
	changed();
}

/** Return the request to begin with: that of an execution, else the last one. @param {string} kept @param {string | null} executionId @param {AbortSignal} signal @returns {Promise<Asked>} */
async function start(kept, executionId, signal) {
	const first = { method: "POST", path: "/", headers: {}, body: "" };
	const last = { ...first, ...JSON.parse(localStorage.getItem(kept) || "{}") };
	if (!executionId) return last;
	const found = await get(`minifn/executions/${executionId}`, {}, signal);
	const own = found.requestHeaders.filter((one) => /^(content-type|accept|authorization)$/.test(one.name));
	return {
		...last,
		method: found.requestMethod || "POST",
		path: found.requestPath || "/",
		headers: Object.fromEntries(own.map((one) => [one.name, one.value])),
	};
}

/** @param {string} lines */
const headersOf = (lines) =>
	Object.fromEntries(
		lines
			.split("\n")
			.filter((line) => line.includes(":"))
			.map((line) => [line.slice(0, line.indexOf(":")).trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
	);

function shown(got) {
	const type = got.responseHeaders.find((one) => one.name === "content-type")?.value || "";
	const log = part("log-view", {
		label: "Logs and errors",
		empty: "The function printed nothing.",
	});
	log.print(got.logs);
	log.end();
	log.print(got.errors, "errors");
	log.end();
	return h(
		"div",
		{},
		h(
			"div",
			{ class: "bar" },
			status(got.status),
			h("span", { class: `mono ${got.responseStatusCode >= 400 ? "bad" : ""}` }, `status ${got.responseStatusCode}`),
			h("span", { class: "mono" }, duration(got.duration)),
			h("span", { class: "space" }),
			h("a", { href: `executions/${got.$id}` }, "Open the execution"),
		),
		bodyView(new TextEncoder().encode(got.responseBody), type),
		h("h3", {}, "Logs"),
		log,
		h("details", {}, h("summary", {}, "Headers of the answer"), facts(got.responseHeaders.map((one) => [one.name, one.value]))),
	);
}

/** @param {Session} session @param {string} id @param {Asked} asked */
function snippets(session, id, asked) {
	/** @type {[string, string][]} */
	const all = [
		["minifn", terminal(id, asked)],
		["curl", curl(session, id, asked)],
		["Python", python(session, id, asked)],
		["Node.js", node(session, id, asked)],
	];
	const chosen = localStorage.getItem("snippet") || "minifn";
	const place = h("div", {}, code((all.find(([name]) => name === chosen) || all[0])[1]));
	const buttons = all.map(([name, text]) =>
		h(
			"button",
			{
				class: "quiet",
				"aria-pressed": String(name === chosen),
				onclick: (event) => {
					localStorage.setItem("snippet", name);
					for (const one of buttons) one.setAttribute("aria-pressed", String(one === event.target));
					put(place, code(text));
				},
			},
			name,
		),
	);
	return h(
		"section",
		{ class: "snippets", "aria-label": "The same call elsewhere" },
		h("div", { class: "views" }, h("h2", {}, "The same call"), h("span", { class: "space" }), buttons),
		place,
	);
}
