// @ts-check
// Starts the console: the session, the frame, and the page of the address. The state is the address.
import { events } from "./api.js";
import { h, put } from "./parts/dom.js";
import { applyTheme, frame, mark, offlineBar } from "./parts/frame.js";
import { help, listen } from "./parts/keyboard.js";
import { failure, skeleton } from "./parts/state.js";
import { current, signIn, signOut, takeToken } from "./session.js";

/**
 * The arguments of a page. `query` is the query of the address; `setQuery` changes it without a new page.
 * @typedef {{params: string[], query: URLSearchParams, main: HTMLElement, signal: AbortSignal,
 *   session: Session, title: (text: string) => void, go: (path: string, replace?: boolean) => void,
 *   reload: () => void, setQuery: (changes: Record<string, string>) => void}} Page
 */

/** Path below the console -> its module. Parts in brackets are the page's params. @type {[RegExp, string][]} */
const ROUTES = [
	[/^$/, "functions"],
	[/^new$/, "new"],
	[/^functions\/([^/]+)\/deployments\/([^/]+)$/, "deployment"],
	[/^functions\/([^/]+)(?:\/([a-z]+))?$/, "function"],
	[/^executions$/, "executions"],
	[/^executions\/([^/]+)$/, "execution"],
	[/^(schedule|usage|health|nodes|keys|wall)$/, ""],
];
/** Links that Appwrite's CLI prints. */
const APPWRITE = /^project-[^/]+(?:\/functions(?:\/function-([^/]+)(?:\/deployment-([^/]+))?)?)?/;

const base = new URL(document.baseURI);
const main = h("main", { id: "main", tabindex: -1 });
let leaving = new AbortController();
/** @type {Session | null} */
let session = null;

/** @param {string} path */
function modern(path) {
	const found = APPWRITE.exec(path);
	if (!found) return path;
	const [, functionId, deploymentId] = found;
	if (!functionId) return "";
	return deploymentId ? `functions/${functionId}/deployments/${deploymentId}` : `functions/${functionId}`;
}

/** @param {string} path relative to the console @param {boolean} [replace] */
function go(path, replace = false) {
	const url = new URL(path, base);
	if (replace) history.replaceState(null, "", url);
	else history.pushState(null, "", url);
	scrollTo(0, 0);
	show();
}

/** @param {Record<string, string>} changes */
function setQuery(changes) {
	const url = new URL(location.href);
	for (const [name, value] of Object.entries(changes)) {
		if (value) url.searchParams.set(name, value);
		else url.searchParams.delete(name);
	}
	if (url.href !== location.href) history.replaceState(history.state, "", url);
}

async function show() {
	leaving.abort();
	leaving = new AbortController();
	const signal = leaving.signal;
	const here = location.pathname.slice(base.pathname.length).replace(/\/$/, "");
	const path = modern(here);
	if (path !== here) return go(path, true);
	const [pattern, module] = ROUTES.find(([one]) => one.test(path)) || [/(.*)/, "missing"];
	const params = [.../** @type {RegExpExecArray} */ (pattern.exec(path))].slice(1).map((one) => decodeURIComponent(one || ""));
	mark(path.split("/")[0]);
	const late = setTimeout(() => put(main, skeleton()), 200);
	try {
		const { default: page } = await import(`./pages/${module || path}.js`);
		if (signal.aborted) return;
		await page({
			params,
			query: new URLSearchParams(location.search),
			main,
			signal,
			session,
			title,
			go,
			reload: show,
			setQuery,
		});
	} catch (error) {
		if (!signal.aborted) put(main, failure(error, show));
	} finally {
		clearTimeout(late);
	}
}

/** @param {string} text */
function title(text) {
	document.title = text ? `${text} · minifn` : "minifn";
}

/** Follow links inside the console without loading the document again. @param {MouseEvent} event */
function follow(event) {
	const link = /** @type {Element} */ (event.target).closest?.("a[href]");
	if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
	if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
	if (!link.href.startsWith(base.href) || link.hash) return;
	event.preventDefault();
	go(link.href);
}

async function leave() {
	await signOut();
	location.assign(base);
}

/** @param {string} [problem] */
async function askForKey(problem = "") {
	session = null;
	leaving.abort();
	const { default: page } = await import("./pages/sign-in.js");
	title("Sign in");
	put(document.body, offlineBar(), main);
	page(main, problem, async (key) => enter(await signIn({ key })));
}

/** @param {Session} found */
function enter(found) {
	session = found;
	frame(found, main, { signOut: leave, help });
	show();
}

async function start() {
	applyTheme();
	const token = takeToken();
	let problem = "";
	try {
		if (token) await signIn({ token });
	} catch (error) {
		problem = /** @type {Error} */ (error).message;
	}
	try {
		const found = await current();
		if (found) enter(found);
		else askForKey(problem);
	} catch (error) {
		put(document.body, offlineBar(), main);
		put(
			main,
			failure(error, () => location.reload()),
		);
		events.addEventListener("online", () => location.reload(), { once: true });
	}
}

document.addEventListener("click", follow);
addEventListener("popstate", show);
listen((path) => session && go(path));
events.addEventListener("unauthorized", async () => {
	// A key with few scopes is refused as well; then its session goes on.
	if (session && !(await current())) askForKey("The session has ended.");
});
start();
