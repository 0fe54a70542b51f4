// @ts-check
// Runs functions, and remembers what was sent and answered: the server keeps no bodies.
import { address, call, send } from "../api.js";

/** Execution id -> what this tab sent and got. @type {Map<string, Answered>} */
export const answers = new Map();
const ANSWERS_MAX = 50;

/**
 * Run a function and return its execution; `whom` is a JWT of a user, "guest", or "" for the operator.
 * @param {string} functionId @param {Asked} request @param {{whom?: string, later?: boolean}} [how]
 */
export async function run(functionId, request, { whom = "", later = false } = {}) {
	const path = `functions/${functionId}/executions`;
	const json = { ...request, async: later };
	const got = whom ? await runAs(whom, path, json) : await call("POST", path, { json });
	if (!later) remember(got, request);
	return got;
}

/** @param {any} got @param {Asked} request */
function remember(got, request) {
	answers.set(got.$id, { request, body: got.responseBody, headers: got.responseHeaders });
	if (answers.size > ANSWERS_MAX) answers.delete(answers.keys().next().value || "");
}

/** @param {string} whom @param {string} path @param {any} json */
async function runAs(whom, path, json) {
	/** @type {Record<string, string>} */
	const credentials = whom === "guest" ? {} : { "x-appwrite-jwt": whom };
	const answer = await send("POST", address(path), {
		json,
		headers: credentials,
		credentials: "omit",
	});
	return answer.json();
}
