// All operations of node-appwrite on functions, in any version.
import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import * as sdk from "node-appwrite";
import { InputFile } from "node-appwrite/file";
import * as project from "./project.mjs";
import { check } from "./queries.mjs";
import { Service, refused, until } from "./service.mjs";

const { Account, Client, ExecutionMethod, ID, Query } = sdk;
const {
  ENDPOINT,
  PROJECT,
  KEY,
  RUNTIME,
  ENTRYPOINT,
  FUNCTION,
  STARTER,
  CODE_SMALL,
  CODE_LARGE,
  CODE_CHUNK,
} = process.env;
const functionId = FUNCTION;
const connect = () => new Client().setEndpoint(ENDPOINT).setProject(PROJECT);
const functions = new Service(new sdk.Functions(connect().setKey(KEY)));

const FORMAT = Number(/^1\.(\d+)/.exec(connect().headers["X-Appwrite-Response-Format"])[1]);
/** Half of the methods and fields of deployments have other names before 1.7. */
const OLD = FORMAT < 7;
const [SIZE, ACTIVE] = OLD ? ["size", "deployment"] : ["sourceSize", "deploymentId"];

/** Checks an answer's keys: those of this version's format, and none of the other's. */
function shape(answer, old, newer) {
  const [present, absent] = OLD ? [old, newer] : [newer, old];
  for (const key of present.split(" ").filter(Boolean))
    assert.ok(key in answer, `${key} is missing`);
  for (const key of absent.split(" ").filter(Boolean))
    assert.ok(!(key in answer), `${key} is there`);
}

const deployment = (deploymentId) => functions.getDeployment({ functionId, deploymentId });
const activate = (deploymentId) =>
  functions[OLD ? "updateDeployment" : "updateFunctionDeployment"]({ functionId, deploymentId });
const cancel = (deploymentId) =>
  functions[OLD ? "updateDeploymentBuild" : "updateDeploymentStatus"]({ functionId, deploymentId });
const run = async (request) =>
  JSON.parse((await functions.createExecution({ functionId, ...request })).responseBody);

const upload = (path, settings) =>
  functions.createDeployment({
    functionId,
    code: InputFile.fromPath(path, "code.tar.gz"),
    activate: true,
    ...settings,
  });

async function deploy(path, onProgress) {
  const uploaded = await upload(path, { onProgress });
  return until(() => deployment(uploaded.$id), "ready");
}

async function rebuild(deploymentId) {
  if (!OLD) return functions.createDuplicateDeployment({ functionId, deploymentId });
  await functions.createBuild({ functionId, deploymentId });
  const queries = [Query.orderDesc("$createdAt"), Query.limit(1)];
  return (await functions.listDeployments({ functionId, queries })).deployments[0];
}

async function create() {
  const settings = {
    functionId,
    name: "SDK",
    runtime: RUNTIME,
    execute: ["any"],
    timeout: 20,
    entrypoint: ENTRYPOINT,
  };
  await refused(404, "function_not_found", functions.get({ functionId }));
  await refused(
    400,
    "general_argument_invalid",
    functions.create({ ...settings, functionId: "-bad" }),
  );
  await refused(
    400,
    "general_argument_invalid",
    functions.create({ ...settings, timeout: 100_000 }),
  );
  await refused(
    400,
    "general_argument_invalid",
    functions.create({ ...settings, execute: ["nobody"] }),
  );
  const slug = "s-1vcpu-1gb";
  const specifications =
    FORMAT < 9 ? { specification: slug } : { buildSpecification: slug, runtimeSpecification: slug };
  const created = await functions.create({ ...settings, ...specifications });
  for (const [name, value] of Object.entries({
    ...settings,
    ...specifications,
    functionId: undefined,
  })) {
    assert.deepEqual(created[name], value, name);
  }
  assert.deepEqual([created.$id, created[ACTIVE]], [functionId, ""]);
  shape(created, "deployment", "deploymentId latestDeploymentId latestDeploymentStatus");
  assert.equal("specification" in created, FORMAT < 9);
  assert.equal("buildSpecification" in created, FORMAT >= 9);
  await refused(409, "function_already_exists", functions.create(settings));
  await refused(404, "deployment_not_found", functions.createExecution({ functionId }));
  assert.ok((await functions.listRuntimes()).runtimes.some((runtime) => runtime.$id === RUNTIME));
  assert.ok((await functions.listSpecifications()).total >= 2);
  assert.deepEqual(await connect().ping(), { message: "Pong!" });
}

async function variables() {
  const settings = { functionId, key: "GREETING", value: "hello", secret: false };
  const variable = await functions.createVariable({ ...settings, variableId: ID.unique() });
  const variableId = variable.$id;
  shape(variable, "", "secret");
  await refused(
    409,
    "variable_already_exists",
    functions.createVariable({ ...settings, variableId: ID.unique() }),
  );
  await functions.updateVariable({ functionId, variableId, key: "GREETING", value: "hello there" });
  assert.equal((await functions.getVariable({ functionId, variableId })).value, "hello there");
  assert.equal((await functions.listVariables({ functionId })).variables[0].key, "GREETING");
  const other = await functions.createVariable({
    functionId,
    variableId: ID.unique(),
    key: "TOKEN",
    value: "hidden",
  });
  assert.equal(other.value, OLD ? "hidden" : "");
  await functions.deleteVariable({ functionId, variableId: other.$id });
  await refused(
    404,
    "variable_not_found",
    functions.getVariable({ functionId, variableId: other.$id }),
  );
}

async function deployments() {
  const small = await deploy(CODE_SMALL);
  shape(small, "size buildTime", "sourceSize buildDuration totalSize");
  assert.equal(small[SIZE], (await stat(CODE_SMALL)).size);
  assert.equal((await functions.get({ functionId }))[ACTIVE], small.$id);
  const download = await functions.getDeploymentDownload({ functionId, deploymentId: small.$id });
  assert.deepEqual(Buffer.from(download), await readFile(CODE_SMALL));
  return small;
}

async function executions(small) {
  const execution = await functions.createExecution({
    functionId,
    body: '{"n":1}',
    xpath: "/a/b?x=1",
    method: ExecutionMethod.PUT,
    headers: { "content-type": "application/json" },
  });
  assert.equal(execution.status, "completed", JSON.stringify(execution));
  const answer = JSON.parse(execution.responseBody);
  assert.deepEqual(
    [answer.method, answer.path, answer.query, answer.body],
    ["PUT", "/a/b", { x: "1" }, { n: 1 }],
  );
  assert.equal(answer.greeting, "hello there");
  assert.ok(execution.responseHeaders.some(({ name }) => name === "x-answered-by"));
  assert.equal(execution.logs.trim(), "a line for the logs");
  assert.equal(execution.errors.trim(), "a line for the errors");
  assert.equal(typeof execution.duration, "number");
  shape(execution, "", "deploymentId");
  if (!OLD) assert.equal(execution.deploymentId, small.$id);

  const queued = await functions.createExecution({
    functionId,
    body: "later",
    async: true,
    xpath: "/queued",
  });
  const executionId = queued.$id;
  assert.deepEqual([queued.status, queued.responseBody], ["waiting", ""]);
  assert.equal(
    (await until(() => functions.getExecution({ functionId, executionId }), "completed"))
      .requestPath,
    "/queued",
  );
  const scheduledAt = new Date((Math.floor(Date.now() / 60_000) + 1440) * 60_000).toISOString();
  await refused(400, "general_bad_request", functions.createExecution({ functionId, scheduledAt }));
  const planned = await functions.createExecution({ functionId, async: true, scheduledAt });
  assert.deepEqual([planned.status, planned.trigger], ["scheduled", "schedule"]);
  assert.equal(new Date(planned.scheduledAt).toISOString(), scheduledAt);
  await functions.deleteExecution({ functionId, executionId: planned.$id });

  const queries = [
    Query.orderDesc("$createdAt"),
    Query.equal("status", "completed"),
    Query.limit(1),
  ];
  const listed = await functions.listExecutions({ functionId, queries });
  assert.deepEqual([listed.total, listed.executions.map((row) => row.$id)], [2, [executionId]]);
  const old = await functions.listExecutions({
    functionId,
    queries: [Query.startsWith("requestPath", "/a")],
  });
  assert.deepEqual(
    old.executions.map((row) => row.$id),
    [execution.$id],
  );
  await functions.deleteExecution({ functionId, executionId });
  await refused(404, "execution_not_found", functions.getExecution({ functionId, executionId }));
}

async function uploadsInChunks() {
  let large;
  for (const path of [CODE_LARGE, CODE_CHUNK]) {
    const steps = [];
    large = await deploy(path, (step) => steps.push(step.progress));
    assert.equal(large[SIZE], (await stat(path)).size);
    if (path === CODE_LARGE) assert.equal(steps.at(-1), 100);
    assert.ok((await run()).padding > 4_000_000);
  }
  return large;
}

async function laterDeployments(small, large) {
  const newest = await rebuild(small.$id);
  assert.ok(![small.$id, large.$id].includes(newest.$id));
  await until(() => deployment(newest.$id), "ready");
  await refused(400, "build_already_completed", cancel(newest.$id));
  assert.equal((await activate(small.$id))[ACTIVE], small.$id);
  assert.equal((await run()).padding, 0);
  const slow = await upload(CODE_SMALL, { activate: false, commands: "sleep 60" });
  await refused(400, "build_not_ready", activate(slow.$id));
  assert.equal((await cancel(slow.$id)).status, "canceled");
  const canceled = await functions.listDeployments({
    functionId,
    queries: [Query.equal("$id", slow.$id)],
  });
  assert.deepEqual(
    canceled.deployments.map((row) => row.status),
    ["canceled"],
  );
  await functions.deleteDeployment({ functionId, deploymentId: newest.$id });
  await refused(404, "deployment_not_found", deployment(newest.$id));
}

/** Deploys a bundled template; an unconnected function has no repository. */
async function repositories() {
  const template = {
    functionId,
    owner: "appwrite",
    repository: "templates",
    rootDirectory: STARTER,
  };
  const version = { type: "tag", reference: "0.2.*", version: "0.2.*" };
  const made = await functions.createTemplateDeployment({ ...template, ...version });
  assert.deepEqual(
    [made.type, made.providerRepositoryName, made.activate],
    ["vcs", "templates", false],
  );
  await functions.deleteDeployment({ functionId, deploymentId: made.$id });
  const branch = functions.createVcsDeployment({ functionId, type: "branch", reference: "main" });
  await refused(404, "installation_not_found", branch);
}

async function callers() {
  const guest = new Service(new sdk.Functions(connect()));
  await refused(401, "general_unauthorized_scope", guest.list());
  assert.equal((await guest.createExecution({ functionId })).logs, "");
  const session = await new Account(connect().setKey(KEY)).createAnonymousSession();
  const account = new Service(new Account(connect().setSession(session.secret)));
  assert.equal((await account.get()).$id, session.userId);
  const user = new Service(new sdk.Functions(connect().setSession(session.secret)));
  const mine = await user.createExecution({ functionId, xpath: "/mine" });
  assert.deepEqual(
    (await user.listExecutions({ functionId })).executions.map((row) => row.$id),
    [mine.$id],
  );
  const { jwt } = await account.createJWT();
  const other = new Service(new sdk.Functions(connect().setJWT(jwt)));
  assert.equal(
    (await other.getExecution({ functionId, executionId: mine.$id })).requestPath,
    "/mine",
  );
  await account.deleteSession({ sessionId: "current" });
}

async function remove() {
  const updated = await functions.update({ functionId, name: "Renamed", enabled: false });
  assert.deepEqual(
    [updated.runtime, updated.entrypoint, updated.enabled],
    [RUNTIME, ENTRYPOINT, false],
  );
  if (FORMAT >= 8) {
    // Positional parameters, as before 1.8, still work.
    assert.equal((await functions.service.get(functionId)).name, "Renamed");
  }
  await functions.delete({ functionId });
  await refused(404, "function_not_found", functions.get({ functionId }));
}

await create();
await variables();
const small = await deployments();
await executions(small);
await laterDeployments(small, await uploadsInChunks());
if (!OLD) await repositories();
if (FORMAT >= 9) await project.check(() => connect().setKey(KEY), functionId);
await callers();
await check(functions, `${functionId}-q`, RUNTIME);
await remove();
functions.checkAllCalled();
console.log("all called");
