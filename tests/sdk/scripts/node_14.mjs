// What a user of node-appwrite 14.2.0 (API 1.6) does with functions, from creating one to deleting it.
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { AppwriteException, Client, ExecutionMethod, Functions, Query } from "node-appwrite";
import { InputFile } from "node-appwrite/file";

const { ENDPOINT, PROJECT, KEY, RUNTIME, ENTRYPOINT, CODE_SMALL, CODE_LARGE, CODE_CHUNK } = process.env;
const functions = new Functions(new Client().setEndpoint(ENDPOINT).setProject(PROJECT).setKey(KEY));
const id = "sdk-node-14";

const refused = (code, type, promise) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof AppwriteException);
    assert.deepEqual([error.code, error.type], [code, type], error.message);
    return true;
  });

async function until(call, status) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await call();
    if (found.status === status) return found;
    assert.notEqual(found.status, "failed", JSON.stringify(found));
    assert.ok(Date.now() < deadline, JSON.stringify(found));
    await pause(50);
  }
}

async function deploy(path, onProgress) {
  const file = InputFile.fromPath(path, "code.tar.gz");
  const uploaded = await functions.createDeployment(id, file, true, undefined, undefined, onProgress);
  return until(() => functions.getDeployment(id, uploaded.$id), "ready");
}

const run = async (...request) => JSON.parse((await functions.createExecution(id, ...request)).responseBody);

await refused(404, "function_not_found", functions.get(id));
await refused(400, "general_argument_invalid", functions.create("-bad", "Bad", RUNTIME));
const created = await functions.create(id, "SDK", RUNTIME, ["any"], [], "", 20, true, true, ENTRYPOINT);
assert.equal(created.$id, id);
assert.equal(created.deployment, "");
await refused(409, "function_already_exists", functions.create(id, "SDK", RUNTIME));
await refused(404, "deployment_not_found", functions.createExecution(id));
assert.ok((await functions.listRuntimes()).runtimes.some((runtime) => runtime.$id === RUNTIME));
console.log("created");

const variable = await functions.createVariable(id, "GREETING", "hello");
await functions.updateVariable(id, variable.$id, "GREETING", "hello there");
assert.equal((await functions.listVariables(id)).variables[0].value, "hello there");
console.log("variables");

const small = await deploy(CODE_SMALL);
assert.equal(small.size, (await stat(CODE_SMALL)).size);
assert.equal((await functions.get(id)).deployment, small.$id);
assert.deepEqual(Buffer.from(await functions.getDeploymentDownload(id, small.$id)), await readFile(CODE_SMALL));
console.log("deployed");

const execution = await functions.createExecution(id, '{"n":1}', false, "/a/b?x=1", ExecutionMethod.PUT, { "content-type": "application/json" });
assert.equal(execution.status, "completed", JSON.stringify(execution));
const answer = JSON.parse(execution.responseBody);
assert.deepEqual([answer.method, answer.path, answer.query, answer.body], ["PUT", "/a/b", { x: "1" }, { n: 1 }]);
assert.equal(answer.greeting, "hello there");
assert.ok(execution.responseHeaders.some(({ name }) => name === "x-answered-by"));
assert.equal(execution.logs.trim(), "a line for the logs");
assert.equal(execution.errors.trim(), "a line for the errors");
const queued = await functions.createExecution(id, "later", true, "/queued");
assert.equal(queued.status, "waiting");
assert.equal((await until(() => functions.getExecution(id, queued.$id), "completed")).requestPath, "/queued");
const listed = await functions.listExecutions(id, [Query.orderDesc("$createdAt"), Query.limit(1)]);
assert.deepEqual([listed.total, listed.executions[0].$id], [2, queued.$id]);
await functions.deleteExecution(id, queued.$id);
await refused(404, "execution_not_found", functions.getExecution(id, queued.$id));
console.log("executed");

let large;
for (const path of [CODE_LARGE, CODE_CHUNK]) {
  const steps = [];
  large = await deploy(path, (step) => steps.push(step.progress));
  assert.equal(large.size, (await stat(path)).size);
  if (path === CODE_LARGE) assert.equal(steps.at(-1), 100);
  assert.ok((await run()).padding > 4_000_000);
}
console.log("uploaded in chunks");

await functions.createBuild(id, small.$id);
const newest = (await functions.listDeployments(id, [Query.orderDesc("$createdAt"), Query.limit(1)])).deployments[0];
assert.ok(![small.$id, large.$id].includes(newest.$id));
await until(() => functions.getDeployment(id, newest.$id), "ready");
await refused(400, "build_already_completed", functions.updateDeploymentBuild(id, newest.$id));
assert.equal((await functions.updateDeployment(id, small.$id)).deployment, small.$id);
assert.equal((await run()).padding, 0);
await functions.deleteDeployment(id, newest.$id);
await refused(404, "deployment_not_found", functions.getDeployment(id, newest.$id));
console.log("rebuilt");

assert.equal((await functions.update(id, "Renamed")).runtime, RUNTIME);
await functions.deleteVariable(id, variable.$id);
await functions.delete(id);
await refused(404, "function_not_found", functions.get(id));
console.log("deleted");
