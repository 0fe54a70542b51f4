// @ts-check
// The same call for a terminal and for programs. No line has a key in it.

/** Quote a word for a shell. @param {string} text */
const quoted = (text) => (/^[\w./:=@%-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {Asked} asked */
function sent(asked) {
	const { method, path, headers, body } = asked;
	return {
		...(body ? { body } : {}),
		...(path === "/" ? {} : { path }),
		...(method === "POST" ? {} : { method }),
		...(Object.keys(headers).length ? { headers } : {}),
	};
}

/** @param {Session} session @param {string} functionId @param {Asked} asked */
export function curl(session, functionId, asked) {
	return [
		`curl ${quoted(`${session.endpoint}/functions/${functionId}/executions`)}`,
		`-H ${quoted(`x-appwrite-project: ${session.project}`)}`,
		`-H "x-appwrite-key: $MINIFN_API_KEY"`,
		`-H 'content-type: application/json'`,
		`-d ${quoted(JSON.stringify(sent(asked)))}`,
	].join(" \\\n  ");
}

/** @param {Session} session @param {string} functionId @param {Asked} asked */
export function python(session, functionId, asked) {
	const fields = { function_id: functionId, ...sent(asked) };
	const lines = Object.entries(fields).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`);
	return [
		"import os",
		"from appwrite.client import Client",
		"from appwrite.services.functions import Functions",
		"",
		`client = Client().set_endpoint(${JSON.stringify(session.endpoint)}).set_project(${JSON.stringify(session.project)})`,
		'client.set_key(os.environ["MINIFN_API_KEY"])',
		"execution = Functions(client).create_execution(",
		...lines,
		")",
	].join("\n");
}

/** @param {Session} session @param {string} functionId @param {Asked} asked */
export function node(session, functionId, asked) {
	const fields = { functionId, ...sent(asked) };
	return [
		'import { Client, Functions } from "node-appwrite";',
		"",
		`const client = new Client().setEndpoint(${JSON.stringify(session.endpoint)}).setProject(${JSON.stringify(session.project)});`,
		"client.setKey(process.env.MINIFN_API_KEY);",
		`const execution = await new Functions(client).createExecution(${JSON.stringify(fields, null, 2)});`,
	].join("\n");
}

/** @param {string} functionId @param {Asked} asked */
export function terminal(functionId, { method, path, headers, body }) {
	const words = ["minifn", "run", functionId, ...(body ? [body] : [])];
	if (path !== "/") words.push("--path", path);
	if (method !== "POST") words.push("--method", method);
	for (const [name, value] of Object.entries(headers)) words.push("-H", `${name}: ${value}`);
	return words.map(quoted).join(" ");
}
