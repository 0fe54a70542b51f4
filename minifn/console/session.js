// @ts-check
// Who is signed in, and how to sign in: with the admin key, or with a link that is good once.
import { ApiError, call, headers } from "./api.js";

const PATH = "minifn/session";

/** Take the one-time token out of the address, so that no history, log or copy of it keeps it. */
export function takeToken() {
	const here = new URL(location.href);
	const token = here.searchParams.get("token");
	if (token === null) return "";
	here.searchParams.delete("token");
	history.replaceState(history.state, "", here);
	return token;
}

/** Return the session, null without one. @returns {Promise<Session | null>} */
export async function current() {
	try {
		return adopt(await call("GET", PATH));
	} catch (error) {
		if (error instanceof ApiError && error.status < 500) return null;
		throw error;
	}
}

/** @param {{token?: string, key?: string}} proof @returns {Promise<Session>} */
export async function signIn(proof) {
	await call("POST", PATH, { json: proof });
	return adopt(await call("GET", PATH));
}

export async function signOut() {
	await call("DELETE", PATH);
	delete headers["x-appwrite-project"];
	// Requests that were tried may hold secrets.
	for (const name of Object.keys(localStorage)) if (name.startsWith("try:")) localStorage.removeItem(name);
}

/** @param {Session} session */
function adopt(session) {
	headers["x-appwrite-project"] = session.project;
	return session;
}
