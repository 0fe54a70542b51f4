// Every method of the SDK's Query class, on functions with timeouts of 11, 12 and 13 seconds.
import assert from "node:assert/strict";
import { Query } from "node-appwrite";
import { refused } from "./service.mjs";

const PAST = "2000-01-01T00:00:00.000+00:00";
const FUTURE = "2999-01-01T00:00:00.000+00:00";

const UNSERVED = {
  shapes:
    "distanceEqual distanceNotEqual distanceGreaterThan distanceLessThan intersects " +
    "notIntersects crosses notCrosses overlaps notOverlaps touches notTouches",
  vectors: "vectorDot vectorCosine vectorEuclidean",
  "rows that belong to others": "elemMatch",
};

const expected = ([a, , c], prefix) => [
  ["equal", ["timeout", 11], "a"],
  ["equal", ["timeout", [11, 13]], "ac"],
  ["equal", ["enabled", false], "c"],
  ["notEqual", ["timeout", 12], "ac"],
  ["lessThan", ["timeout", 12], "a"],
  ["lessThanEqual", ["timeout", 12], "ab"],
  ["greaterThan", ["timeout", 12], "c"],
  ["greaterThanEqual", ["timeout", 12], "bc"],
  ["between", ["timeout", 12, 13], "bc"],
  ["startsWith", ["name", `${prefix} b`], "b"],
  ["endsWith", ["name", " c"], "c"],
  ["contains", ["name", [`${prefix} b`, " c"]], "bc"],
  ["isNull", ["name"], ""],
  ["isNotNull", ["name"], "abc"],
  ["orderAsc", ["timeout"], "abc"],
  ["orderDesc", ["timeout"], "cba"],
  ["limit", [2], "ab"],
  ["offset", [1], "bc"],
  ["cursorAfter", [a], "bc"],
  ["cursorBefore", [c], "ab"],
  ["or", [[Query.equal("timeout", 11), Query.equal("$id", c)]], "ac"],
  ["and", [[Query.lessThan("timeout", 13), Query.notEqual("$id", a)]], "b"],
  ["containsAny", ["name", [`${prefix} b`, " c"]], "bc"],
  ["notContains", ["name", [`${prefix} b`, " c"]], "a"],
  ["notBetween", ["timeout", 12, 13], "a"],
  ["notStartsWith", ["name", `${prefix} b`], "ac"],
  ["notEndsWith", ["name", " c"], "ab"],
  ["createdBefore", [FUTURE], "abc"],
  ["createdAfter", [FUTURE], ""],
  ["createdBetween", [PAST, FUTURE], "abc"],
  ["updatedBefore", [PAST], ""],
  ["updatedAfter", [PAST], "abc"],
  ["updatedBetween", [PAST, FUTURE], "abc"],
];

const REFUSED = {
  search: [["name", "word"], "general_query_invalid"],
  notSearch: [["name", "word"], "general_query_invalid"],
  select: [[["name"]], "general_argument_invalid"],
  regex: [["name", "^a"], "general_argument_invalid"],
  exists: [[["name"]], "general_argument_invalid"],
  notExists: [[["name"]], "general_argument_invalid"],
  containsAll: [["name", ["a"]], "general_argument_invalid"],
  orderRandom: [[], "general_argument_invalid"],
};

/** Tries every query on new functions whose names begin with `prefix`. */
export async function check(functions, prefix, runtime) {
  const ids = [..."abc"].map((letter) => `${prefix}-${letter}`);
  for (const [number, functionId] of ids.entries()) {
    const name = `${prefix} ${functionId.at(-1)}`;
    await functions.create({
      functionId,
      name,
      runtime,
      timeout: 11 + number,
      enabled: number < 2,
    });
  }
  const tried = new Set(Object.values(UNSERVED).join(" ").split(" "));
  const mine = Query.startsWith("name", prefix);
  for (const [method, values, letters] of expected(ids, prefix)) {
    if (!(method in Query)) continue;
    tried.add(method);
    const found = await functions.list({ queries: [mine, Query[method](...values)] });
    assert.equal(
      found.functions.map((row) => row.$id.at(-1)).join(""),
      letters,
      `${method} ${values}`,
    );
    const paged = ["limit", "offset", "cursorAfter", "cursorBefore"].includes(method);
    assert.equal(found.total, paged ? 3 : letters.length, method);
  }
  for (const [method, [values, type]] of Object.entries(REFUSED)) {
    if (!(method in Query)) continue;
    tried.add(method);
    await refused(400, type, functions.list({ queries: [Query[method](...values)] }));
  }
  const methods = Object.getOwnPropertyNames(Query).filter(
    (name) => typeof Query[name] === "function",
  );
  assert.deepEqual(
    methods.filter((name) => !tried.has(name) && name !== "prototype"),
    [],
    "neither tried nor explained",
  );

  const queries = [mine, Query.orderDesc("timeout"), Query.cursorAfter(ids[1]), Query.limit(1)];
  assert.deepEqual(
    (await functions.list({ queries })).functions.map((row) => row.$id),
    [ids[0]],
  );
  await refused(
    400,
    "general_cursor_not_found",
    functions.list({ queries: [Query.cursorAfter("nothing")] }),
  );
  await refused(
    400,
    "general_argument_invalid",
    functions.list({ queries: [Query.equal("unknown", "x")] }),
  );
  await refused(
    400,
    "general_argument_invalid",
    functions.list({ queries: [Query.equal("timeout", "text")] }),
  );
  assert.deepEqual(
    (await functions.list({ search: `"${ids[1]}"` })).functions.map((row) => row.$id),
    [ids[1]],
  );
  for (const functionId of ids) await functions.delete({ functionId });
}
