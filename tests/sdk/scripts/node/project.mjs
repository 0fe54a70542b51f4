// Operations of 1.9 and later beside functions: rules, the project, API keys and variables.
import assert from "node:assert/strict";
import * as sdk from "node-appwrite";
import { Service, refused } from "./service.mjs";

const { ID, ProjectKeyScopes, ProxyResourceType, Query, StatusCode } = sdk;

/** Calls all operations for an existing function, and deletes all that was created. */
export async function check(connect, functionId) {
  await rules(new Service(new sdk.Proxy(connect())), functionId);
  const project = new Service(new sdk.Project(connect()));
  assert.equal((await project.get()).$id, process.env.PROJECT);
  await variables(project, functionId);
  await keys(project, connect);
}

async function rules(proxy, functionId) {
  const domain = `${functionId}.example.com`;
  const rule = await proxy.createFunctionRule({ domain, functionId });
  assert.deepEqual([rule.type, rule.deploymentResourceId], ["deployment", functionId]);
  const target = { url: "https://example.com/new", statusCode: StatusCode.TemporaryRedirect };
  const resource = { resourceId: functionId, resourceType: ProxyResourceType.Function };
  const redirect = await proxy.createRedirectRule({
    domain: `old.${domain}`,
    ...target,
    ...resource,
  });
  assert.deepEqual(
    [redirect.type, redirect.redirectUrl, redirect.redirectStatusCode],
    ["redirect", target.url, 307],
  );
  const unknown = { domain: `x.${domain}`, ...target, ...resource, resourceId: "nothing" };
  await refused(404, "rule_resource_not_found", proxy.createRedirectRule(unknown));
  const api = await proxy.createAPIRule({ domain: `api.${domain}` });
  assert.equal(api.type, "api");
  await refused(409, "rule_already_exists", proxy.createAPIRule({ domain }));
  await refused(
    404,
    "rule_resource_not_found",
    proxy.createSiteRule({ domain: `site.${domain}`, siteId: "nothing" }),
  );
  const listed = await proxy.listRules({
    queries: [Query.equal("type", ["redirect", "api"]), Query.endsWith("domain", domain)],
  });
  assert.deepEqual(listed.rules.map((row) => row.$id).sort(), [redirect.$id, api.$id].sort());
  for (const { $id: ruleId } of [rule, redirect, api]) {
    assert.equal((await proxy.updateRuleStatus({ ruleId })).status, "verified");
    assert.equal((await proxy.getRule({ ruleId })).$id, ruleId);
    await proxy.deleteRule({ ruleId });
    await refused(404, "rule_not_found", proxy.getRule({ ruleId }));
  }
  proxy.checkAllCalled();
}

async function variables(project, functionId) {
  const settings = { key: `SHARED_${functionId.at(-1)}`, value: "x", secret: false };
  const { $id: variableId } = await project.createVariable({
    variableId: ID.unique(),
    ...settings,
  });
  assert.equal((await project.updateVariable({ variableId, value: "y" })).value, "y");
  assert.equal((await project.getVariable({ variableId })).resourceType, "project");
  assert.ok((await project.listVariables()).variables.some((row) => row.$id === variableId));
  await project.deleteVariable({ variableId });
}

async function keys(project, connect) {
  const key = await project.createKey({
    keyId: ID.unique(),
    name: "made",
    scopes: Object.values(ProjectKeyScopes),
  });
  const keyId = key.$id;
  assert.equal(key.scopes.length, Object.values(ProjectKeyScopes).length);
  const own = new Service(new sdk.Project(connect().setKey(key.secret)));
  await refused(
    403,
    "key_creation_denied",
    own.createKey({ keyId: ID.unique(), name: "x", scopes: [] }),
  );
  const scopes = [ProjectKeyScopes.FunctionsRead];
  const ephemeral = await own.createEphemeralKey({ scopes, duration: 60 });
  const functions = new sdk.Functions(connect().setKey(ephemeral.secret));
  assert.ok((await functions.list()).total >= 1);
  assert.deepEqual((await project.updateKey({ keyId, name: "renamed", scopes })).scopes, scopes);
  assert.equal((await project.getKey({ keyId })).name, "renamed");
  assert.ok(
    (await project.listKeys({ queries: [Query.equal("name", "renamed")] })).keys.some(
      (row) => row.$id === keyId,
    ),
  );
  await project.deleteKey({ keyId });
  await refused(404, "key_not_found", project.getKey({ keyId }));
}
