// @ts-check
// Calls of the HTTP API: JSON, event streams, and what to do while the server does not answer.

/** The API's address, which ends with a slash. */
export const root = new URL("../v1/", document.baseURI);
/** Headers of every call. The custom one shows the server that no page of another host or port called. */
export const headers = /** @type {Record<string, string>} */ ({ "x-minifn-console": ownSecret() });
/** Tells of `offline`, `online` and `unauthorized`. */
export const events = new EventTarget();
/** Seconds until the first new attempt, and most seconds between two. */
const RETRY_SECONDS = [1, 10];

/** Return a secret that no other origin has, though all ports of this host get the session's cookie. */
function ownSecret() {
	const random = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0"));
	try {
		const kept = localStorage.getItem("page") || random.join("");
		localStorage.setItem("page", kept);
		return kept;
	} catch {
		// A browser that keeps nothing: signed in until the page is left.
		return random.join("");
	}
}

/** An error that the server answered. */
export class ApiError extends Error {
	/** @param {number} status @param {Json} body */
	constructor(status, body) {
		super(body.message || `The server answered ${status}.`);
		this.status = status;
		this.type = body.type || "";
	}
}

/** The server did not answer. */
export class Offline extends Error {
	constructor() {
		super("The server does not answer.");
	}
}

/** @param {string} path @param {Query} query */
export function address(path, query = {}) {
	const url = new URL(path.replace(/^\//, ""), root);
	for (const [name, value] of Object.entries(query)) {
		if (Array.isArray(value)) for (const item of value) url.searchParams.append(name, item);
		else if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
	}
	return url;
}

/**
 * Send a request and return the answer. Throws ApiError and Offline.
 * @param {string} method @param {URL} url
 * @param {{json?: any, form?: FormData, signal?: AbortSignal, headers?: Record<string, string>, credentials?: RequestCredentials}} options
 */
export async function send(method, url, { json, form, signal, headers: more, credentials = "same-origin" } = {}) {
	const sent = {
		...headers,
		...(json === undefined ? {} : { "content-type": "application/json" }),
		...more,
	};
	const body = json === undefined ? form : JSON.stringify(json);
	let answer;
	try {
		answer = await fetch(url, { method, headers: sent, body, signal, credentials });
	} catch (error) {
		if (signal?.aborted) throw error;
		goOffline();
		throw new Offline();
	}
	goOnline();
	if (answer.ok) return answer;
	const problem = await answer.json().catch(() => ({}));
	if (answer.status === 401 && !url.pathname.endsWith("/minifn/session")) events.dispatchEvent(new Event("unauthorized"));
	throw new ApiError(answer.status, problem);
}

/**
 * Send a request and return its JSON.
 * @param {string} method @param {string} path
 * @param {{query?: Query, json?: any, form?: FormData, signal?: AbortSignal}} options
 * @returns {Promise<any>}
 */
export async function call(method, path, { query, ...options } = {}) {
	const answer = await send(method, address(path, query), options);
	const text = await answer.text();
	return text ? JSON.parse(text) : null;
}

/** @param {string} path @param {Query} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export const get = (path, query, signal) => call("GET", path, { query, signal });

/** Return one of Appwrite's queries as text. @param {string} method @param {any[]} values @param {string} [attribute] */
export const where = (method, values, attribute) => JSON.stringify({ method, attribute, values });

/**
 * Follow an event stream until it ends, or until the signal. Throws ApiError and Offline.
 * @param {string} path @param {Query} query
 * @param {(name: string, data: any) => void} heard @param {AbortSignal} signal
 * @param {() => void | Promise<void>} [opened] called once no event is missed any more, and waited for
 */
export async function stream(path, query, heard, signal, opened = () => {}) {
	const answer = await send("GET", address(path, query), { signal });
	await opened();
	const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
	const decoder = new TextDecoder();
	let rest = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		const pieces = (rest + decoder.decode(value, { stream: true })).split("\n\n");
		rest = /** @type {string} */ (pieces.pop());
		for (const piece of pieces) tell(piece, heard);
	}
}

/** @param {string} piece @param {(name: string, data: any) => void} heard */
function tell(piece, heard) {
	let name = "message";
	let data = "";
	for (const line of piece.split("\n")) {
		if (line.startsWith("event: ")) name = line.slice(7);
		if (line.startsWith("data: ")) data += line.slice(6);
	}
	if (data || name !== "message") heard(name, data ? JSON.parse(data) : null);
}

/**
 * Follow a stream for as long as the signal allows: again after it ends, not while the tab is hidden.
 * @param {string} path @param {Query} query
 * @param {(name: string, data: any) => void} heard @param {AbortSignal} signal
 * @param {(live: boolean) => void | Promise<void>} [state] a failure of its is one of the stream
 */
export async function follow(path, query, heard, signal, state = () => {}) {
	while (!signal.aborted) {
		await shown(signal);
		const turn = new AbortController();
		const stop = () => document.hidden && turn.abort();
		document.addEventListener("visibilitychange", stop);
		try {
			await stream(path, query, heard, AbortSignal.any([signal, turn.signal]), () => state(true));
		} catch (error) {
			if (error instanceof ApiError && error.status < 500) return;
		} finally {
			state(false);
			document.removeEventListener("visibilitychange", stop);
		}
		await pause(1000, signal);
	}
}

/** @param {number} ms @param {AbortSignal} signal */
export function pause(ms, signal) {
	return new Promise((done) => {
		const timer = setTimeout(done, ms);
		signal.addEventListener("abort", () => (clearTimeout(timer), done(null)), { once: true });
	});
}

/**
 * Repeat while the tab is shown, until the signal. A failed turn is left out: the next one follows.
 * @param {number} ms @param {AbortSignal} signal @param {() => Promise<void>} turn
 */
export async function every(ms, signal, turn) {
	for (;;) {
		await pause(ms, signal);
		await shown(signal);
		if (signal.aborted) return;
		try {
			await turn();
		} catch (error) {
			if (error instanceof ApiError && error.status < 500) return;
		}
	}
}

/** @param {AbortSignal} signal */
async function shown(signal) {
	while (document.hidden && !signal.aborted)
		await new Promise((done) => {
			document.addEventListener("visibilitychange", done, { once: true });
			signal.addEventListener("abort", done, { once: true });
		});
}

let offline = false;

function goOnline() {
	if (!offline) return;
	offline = false;
	events.dispatchEvent(new Event("online"));
}

async function goOffline() {
	if (offline) return;
	offline = true;
	for (let [wait, most] = RETRY_SECONDS; offline; wait = Math.min(wait * 2, most)) {
		for (let left = wait; left > 0 && offline; left--) {
			events.dispatchEvent(new CustomEvent("offline", { detail: left }));
			await new Promise((done) => setTimeout(done, 1000));
		}
		await knock();
	}
}

/** Ask the server whether it is there. */
export async function knock() {
	try {
		await fetch(address("health/version"), { headers, signal: AbortSignal.timeout(5000) });
		goOnline();
	} catch {
		// Still offline: the next attempt follows.
	}
}
