// What a user of node-appwrite 27.1.0 (object parameters, parallel uploads) does with functions.
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { AppwriteException, Client, ExecutionMethod, Functions, ID, Query } from "node-appwrite";
import { InputFile } from "node-appwrite/file";

const { ENDPOINT, PROJECT, KEY, RUNTIME, ENTRYPOINT, CODE_SMALL, CODE_LARGE, CODE_CHUNK } = process.env;
const functions = new Functions(new Client().setEndpoint(ENDPOINT).setProject(PROJECT).setKey(KEY));
const functionId = "sdk-node-27";

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

const deployment = (deploymentId) => functions.getDeployment({ functionId, deploymentId });

async function deploy(path, onProgress) {
  const code = InputFile.fromPath(path, "code.tar.gz");
  const uploaded = await functions.createDeployment({ functionId, code, activate: true, onProgress });
  return until(() => deployment(uploaded.$id), "ready");
}

const run = async (request) =>
  JSON.parse((await functions.createExecution({ functionId, ...request })).responseBody);

await refused(404, "function_not_found", functions.get({ functionId }));
await refused(400, "general_argument_invalid", functions.create({ functionId: "-bad", name: "Bad", runtime: RUNTIME }));
const settings = { functionId, name: "SDK", runtime: RUNTIME, execute: ["any"], timeout: 20, entrypoint: ENTRYPOINT };
const created = await functions.create({ ...settings, runtimeSpecification: "s-1vcpu-512mb" });
assert.deepEqual([created.$id, created.deploymentId, created.runtimeSpecification], [functionId, "", "s-1vcpu-512mb"]);
await refused(409, "function_already_exists", functions.create(settings));
await refused(404, "deployment_not_found", functions.createExecution({ functionId }));
assert.ok((await functions.listRuntimes()).runtimes.some((runtime) => runtime.$id === RUNTIME));
console.log("created");

const variableId = ID.unique();
await functions.createVariable({ functionId, variableId, key: "GREETING", value: "hello", secret: false });
await functions.updateVariable({ functionId, variableId, value: "hello there" });
assert.equal((await functions.listVariables({ functionId })).variables[0].value, "hello there");
console.log("variables");

const small = await deploy(CODE_SMALL);
assert.equal(small.sourceSize, (await stat(CODE_SMALL)).size);
assert.equal((await functions.get({ functionId })).deploymentId, small.$id);
const download = await functions.getDeploymentDownload({ functionId, deploymentId: small.$id });
assert.deepEqual(Buffer.from(download), await readFile(CODE_SMALL));
console.log("deployed");

const execution = await functions.createExecution({
  functionId,
  body: '{"n":1}',
  xpath: "/a/b?x=1",
  method: ExecutionMethod.PUT,
  headers: { "content-type": "application/json" },
});
assert.equal(execution.status, "completed", JSON.stringify(execution));
const answer = JSON.parse(execution.responseBody);
assert.deepEqual([answer.method, answer.path, answer.query, answer.body], ["PUT", "/a/b", { x: "1" }, { n: 1 }]);
assert.equal(answer.greeting, "hello there");
assert.equal(execution.logs.trim(), "a line for the logs");
assert.equal(execution.errors.trim(), "a line for the errors");
const queued = await functions.createExecution({ functionId, body: "later", async: true, xpath: "/queued" });
const executionId = queued.$id;
assert.equal(queued.status, "waiting");
assert.equal((await until(() => functions.getExecution({ functionId, executionId }), "completed")).requestPath, "/queued");
const listed = await functions.listExecutions({ functionId, queries: [Query.orderDesc("$createdAt"), Query.limit(1)] });
assert.deepEqual([listed.total, listed.executions[0].$id], [2, executionId]);
await functions.deleteExecution({ functionId, executionId });
await refused(404, "execution_not_found", functions.getExecution({ functionId, executionId }));
console.log("executed");

let large;
for (const path of [CODE_LARGE, CODE_CHUNK]) {
  large = await deploy(path);
  assert.equal(large.sourceSize, (await stat(path)).size);
  assert.ok((await run()).padding > 4_000_000);
}
console.log("uploaded in chunks");

const duplicate = await functions.createDuplicateDeployment({ functionId, deploymentId: small.$id });
assert.ok(![small.$id, large.$id].includes(duplicate.$id));
await until(() => deployment(duplicate.$id), "ready");
await refused(
  400,
  "build_already_completed",
  functions.updateDeploymentStatus({ functionId, deploymentId: duplicate.$id }),
);
const activated = await functions.updateFunctionDeployment({ functionId, deploymentId: small.$id });
assert.equal(activated.deploymentId, small.$id);
assert.equal((await run()).padding, 0);
await functions.deleteDeployment({ functionId, deploymentId: duplicate.$id });
await refused(404, "deployment_not_found", deployment(duplicate.$id));
console.log("rebuilt");

assert.equal((await functions.update({ functionId, name: "Renamed" })).runtime, RUNTIME);
await functions.deleteVariable({ functionId, variableId });
await functions.delete({ functionId });
await refused(404, "function_not_found", functions.get({ functionId }));
console.log("deleted");
