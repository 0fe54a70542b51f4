// Pages with the web SDK, in any version: calls as a guest, with a session and with a JWT.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Service, refused, until } from "../node/service.mjs";
import { Browser } from "./browser.mjs";

const { Account, Client, ExecutionMethod, Functions, Query } = createRequire(import.meta.url)(
  "appwrite",
);
const { ENDPOINT, PROJECT, KEY, FOR_ANY, FOR_USERS, CODE_LARGE } = process.env;
const SESSION = `a_session_${PROJECT}`;
/** Pages of the server's machine, and of another site, to which its cookies are not sent. */
const NEAR = "http://127.0.0.1:3000";
const AWAY = "http://localhost:3000";
const FOREIGN = "https://app.example.com";
const called = new Set();

/** Opens a page with the SDK in it. */
function open(browser, prepare = () => {}) {
  browser.enter();
  const client = new Client().setEndpoint(ENDPOINT).setProject(PROJECT);
  prepare(client);
  const functions = new Service(new Functions(client), called);
  return { client, functions, account: new Service(new Account(client)) };
}

async function guest() {
  const browser = new Browser(NEAR);
  const { client, functions, account } = open(browser);
  assert.deepEqual(await client.ping(), { message: "Pong!" });
  const execution = await functions.createExecution({
    functionId: FOR_ANY,
    body: "hello",
    xpath: "/page?x=1",
  });
  assert.deepEqual([execution.status, execution.logs, execution.errors], ["completed", "", ""]);
  assert.deepEqual(execution.$permissions, []);
  assert.equal(typeof execution.duration, "number");
  assert.deepEqual(JSON.parse(execution.responseBody).query, { x: "1" });
  await refused(401, "general_unauthorized_scope", account.get());
  await refused(
    401,
    "general_unauthorized_scope",
    functions.listExecutions({ functionId: FOR_ANY }),
  );
  const mine = { functionId: FOR_ANY, executionId: execution.$id };
  await refused(401, "general_unauthorized_scope", functions.getExecution(mine));
  await refused(401, "user_unauthorized", functions.createExecution({ functionId: FOR_USERS }));
  await refused(404, "function_not_found", functions.createExecution({ functionId: "nothing" }));
  await refused(
    400,
    "general_argument_invalid",
    functions.createExecution({ functionId: FOR_ANY, method: "FETCH" }),
  );
  await refused(404, "general_route_not_found", client.call("get", new URL(`${ENDPOINT}/nothing`)));
  assert.ok(browser.preflights > 5, "requests of the SDK are preflighted");
}

/** Signs in on a page, calls all that users may, and returns an execution of the user. */
async function user(browser, foreignExecutionId) {
  const { client, functions, account } = open(browser);
  const session = await account.createAnonymousSession();
  assert.deepEqual([session.provider, session.current, session.secret], ["anonymous", true, ""]);
  assert.equal((await account.get()).$id, session.userId);

  const functionId = FOR_USERS;
  const execution = await functions.createExecution({
    functionId,
    body: '{"n":1}',
    xpath: "/mine",
    method: ExecutionMethod.PATCH,
    headers: { "content-type": "application/json" },
  });
  assert.deepEqual([execution.status, execution.logs], ["completed", ""]);
  assert.deepEqual(execution.$permissions, [`read("user:${session.userId}")`]);
  assert.ok(execution.responseHeaders.some(({ name }) => name === "x-answered-by"));
  const queued = await functions.createExecution({ functionId, async: true, xpath: "/later" });
  const finished = await until(
    () => functions.getExecution({ functionId, executionId: queued.$id }),
    "completed",
  );
  assert.deepEqual([finished.requestPath, finished.logs], ["/later", ""]);

  const own = async (...queries) =>
    (await functions.listExecutions({ functionId, queries })).executions.map(
      (row) => row.requestPath,
    );
  assert.deepEqual(await own(), ["/mine", "/later"]);
  assert.deepEqual(await own(Query.orderDesc("$createdAt"), Query.limit(1)), ["/later"]);
  assert.deepEqual(await own(Query.equal("requestMethod", ["PATCH"])), ["/mine"]);
  assert.deepEqual(await own(Query.cursorAfter(execution.$id)), ["/later"]);
  assert.equal((await functions.listExecutions({ functionId })).total, 2);
  if (foreignExecutionId) {
    const foreign = functions.getExecution({ functionId, executionId: foreignExecutionId });
    await refused(404, "execution_not_found", foreign);
  }
  const listing = client.call("get", new URL(`${ENDPOINT}/functions`), {
    "X-Appwrite-Project": PROJECT,
  });
  await refused(401, "general_unauthorized_scope", listing);
  await withTokens(
    (await account.createJWT()).jwt,
    browser.storage.get("cookieFallback"),
    execution,
    session,
  );

  browser.enter();
  await account.deleteSession({ sessionId: "current" });
  assert.deepEqual(browser.cookies, []);
  await refused(401, "general_unauthorized_scope", account.get());
  return execution.$id;
}

/** Uses a user's JWT and a session's value in other browsers. */
async function withTokens(jwt, fallback, execution, session) {
  const mine = { functionId: FOR_USERS, executionId: execution.$id };
  const { functions } = open(new Browser(AWAY, { cookies: false }), (client) => client.setJWT(jwt));
  assert.equal((await functions.getExecution(mine)).$id, execution.$id);
  assert.equal((await functions.createExecution({ functionId: FOR_USERS })).status, "completed");
  const forged = open(new Browser(AWAY), (client) => client.setJWT("a.b.c"));
  await refused(401, "user_jwt_invalid", forged.functions.getExecution(mine));
  if (fallback) {
    const { account } = open(new Browser(AWAY), (client) =>
      client.setSession(JSON.parse(fallback)[SESSION]),
    );
    assert.equal((await account.get()).$id, session.userId);
  }
  for (const page of [new Browser(AWAY), new Browser(NEAR)]) {
    await refused(401, "general_unauthorized_scope", open(page).functions.getExecution(mine));
  }
}

async function pageOfAForeignHost() {
  const { functions, account } = open(new Browser(FOREIGN));
  await refused(403, "general_unknown_origin", functions.createExecution({ functionId: FOR_ANY }));
  await refused(403, "general_unknown_origin", account.createAnonymousSession());
  await refused(401, "general_unauthorized_scope", account.get());
}

/** Uploads with a key, as own tools may; every chunk is preflighted. */
async function uploadInChunks() {
  const { client } = open(new Browser(FOREIGN));
  const code = new File([await readFile(CODE_LARGE)], "code.tar.gz");
  const headers = { "X-Appwrite-Project": PROJECT, "X-Appwrite-Key": KEY };
  const path = `${ENDPOINT}/functions/${FOR_ANY}/deployments`;
  const steps = [];
  const uploaded = await client.chunkedUpload(
    "post",
    new URL(path),
    { ...headers, "content-type": "multipart/form-data" },
    { code, activate: false },
    (step) => steps.push(step.progress),
  );
  assert.equal(uploaded.chunksUploaded, Math.ceil(code.size / Client.CHUNK_SIZE));
  assert.deepEqual([steps.length, steps.at(-1)], [uploaded.chunksTotal, 100]);
  const ready = await until(
    () => client.call("get", new URL(`${path}/${uploaded.$id}`), headers),
    "ready",
  );
  assert.equal(ready.sourceSize ?? ready.size, code.size);
}

await guest();
const first = await user(new Browser(NEAR, { storage: false }));
await user(new Browser(AWAY), first);
await user(new Browser(NEAR), first);
await pageOfAForeignHost();
await uploadInChunks();
new Service(new Functions(new Client()), called).checkAllCalled();
console.log("all called");
