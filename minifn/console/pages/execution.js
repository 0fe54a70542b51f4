// @ts-check
// One execution: the request left, the answer right, the time it took, and what it printed.
import { follow, get } from "../api.js";
import { answers, run } from "../parts/calls.js";
import { bodyView } from "../parts/body-view.js";
import { announce, h, part, put } from "../parts/dom.js";
import "../parts/log-view.js";
import { facts, id, since, status } from "../parts/small.js";
import { timeline } from "../parts/timeline.js";
import { curl } from "../parts/snippets.js";
import { errorLine } from "../parts/words.js";

const FINAL = ["completed", "failed"];

/** @param {Page} page */
export default async function execution(page) {
	const { params, main, signal, title, go, session } = page;
	/** @type {Json} */
	let one = await get(`minifn/executions/${params[0]}`, {}, signal);
	title(`${one.functionId} · ${one.status}`);
	const log = part("log-view", { label: "Logs and errors" });
	const head = h("div", {});
	const again = h("button", { class: "primary", "data-key": "r", title: "Run again (r)" }, "Run again");
	again.addEventListener("click", async () => {
		again.disabled = true;
		try {
			const next = await run(one.functionId, {
				method: one.requestMethod,
				path: one.requestPath,
				headers: own(one.requestHeaders),
				body: answers.get(one.$id)?.request.body || "",
			});
			go(`executions/${next.$id}`);
		} catch (error) {
			announce(/** @type {Error} */ (error).message);
			again.disabled = false;
		}
	});
	const copy = h(
		"button",
		{
			onclick: async () => (await navigator.clipboard.writeText(curl(session, one.functionId, asked(one))), announce("Copied the curl line")),
		},
		"Copy curl",
	);
	const bar = h(
		"div",
		{ class: "bar" },
		h("h1", {}, h("a", { href: `functions/${one.functionId}` }, one.functionId), " / execution"),
		id(one.$id),
		h("span", { class: "space" }),
		h("a", { class: "button", href: `functions/${one.functionId}/try?execution=${one.$id}` }, "Change and try"),
		copy,
		again,
	);
	const draw = () => {
		title(`${one.functionId} · ${one.status}`);
		put(head, summary(one), timeline(one), h("div", { class: "two" }, request(one), answer(one)));
	};
	put(main, bar, head, h("h2", {}, "Logs"), log);
	draw();
	if (FINAL.includes(one.status)) return printed(log, one);
	log.empty = "Lines appear here as the function prints them.";
	const ended = new AbortController();
	follow(
		"minifn/logs",
		{ executionId: one.$id },
		(name, data) => {
			if (name === "log") log.print(data.text.endsWith("\n") ? data.text : `${data.text}\n`, data.stream);
			if (name !== "end") return;
			ended.abort();
			refresh();
		},
		AbortSignal.any([signal, ended.signal]),
	);

	async function refresh() {
		one = await get(`minifn/executions/${one.$id}`, {}, signal);
		if (signal.aborted) return;
		draw();
		if (!FINAL.includes(one.status)) return;
		ended.abort();
		log.clear();
		printed(log, one);
	}
	const timer = setInterval(() => (FINAL.includes(one.status) || signal.aborted ? clearInterval(timer) : refresh()), 3000);
}

function printed(log, one) {
	log.empty = "The function printed nothing.";
	log.following = false;
	log.print(one.logs);
	log.end();
	log.print(one.errors, "errors");
	log.end();
}

function summary(one) {
	const error = one.status === "failed" && one.errors ? h("p", { class: "bad problem-line" }, errorLine(one.errors)) : null;
	return h("div", { class: "summary" }, h("p", {}, status(one.status), " · ", one.trigger, " · ", since(one.$createdAt)), error);
}

function request(one) {
	const sent = answers.get(one.$id)?.request;
	const body = sent ? bodyView(new TextEncoder().encode(sent.body), "text/plain") : h("p", { class: "muted" }, "Bodies of requests are not kept.");
	return h(
		"section",
		{ class: "card", "aria-label": "Request" },
		h("h2", {}, "Request"),
		h("p", { class: "mono" }, `${one.requestMethod || ""} ${one.requestPath || ""}`),
		headers(one.requestHeaders),
		body,
	);
}

function answer(one) {
	const got = answers.get(one.$id);
	const type = (got?.headers || one.responseHeaders || []).find((header) => header.name === "content-type")?.value || "";
	const body = got
		? bodyView(new TextEncoder().encode(got.body), type)
		: h("p", { class: "muted" }, one.status === "completed" ? "Bodies of answers are not kept. Run it again to see one." : "");
	const code = one.responseStatusCode;
	return h(
		"section",
		{ class: "card", "aria-label": "Answer" },
		h("h2", {}, "Answer"),
		h("p", { class: `mono ${code >= 400 ? "bad" : ""}` }, code ? `status ${code}` : "no answer yet"),
		headers(got?.headers || one.responseHeaders),
		body,
	);
}

/** @param {Header[]} list */
function headers(list) {
	if (!list?.length) return h("p", { class: "muted" }, "No headers were kept.");
	return facts(list.map(({ name, value }) => [name, value]));
}

/** Return the headers that a caller sets; the server adds the others again. @param {Header[]} list */
const own = (list) =>
	Object.fromEntries(
		(list || [])
			.filter(({ name }) => !/^(x-appwrite-|x-minifn-|host$|content-length$|user-agent$|connection$)/.test(name))
			.map(({ name, value }) => [name, value]),
	);

const asked = (one) => ({
	method: one.requestMethod,
	path: one.requestPath,
	headers: own(one.requestHeaders),
	body: answers.get(one.$id)?.request.body || "",
});
