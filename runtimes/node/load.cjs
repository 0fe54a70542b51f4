"use strict";
// Imports the function, a CommonJS or ES module; the default export is the handler.

const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");

const ES_MODULE_CODES = new Set(["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE"]);
// Codes of Node.js for a second import of an ES module that could not be linked.
const LEFT_UNLINKED =
  /^ERR_(INTERNAL_ASSERTION|REQUIRE_CYCLE_MODULE|REQUIRE_ESM_RACE_CONDITION|VM_MODULE_.*)$/;
// File -> its last failure with a reason.
const failures = new Map();

/** The function could not be imported; the message is for its author. */
class LoadFailure extends Error {}

/** Returns the handler exported by `entrypoint` below `code`. Throws LoadFailure. */
async function load(code, entrypoint) {
  const file = path.join(code, entrypoint);
  if (!fs.existsSync(file) || !fs.statSync(file).isFile()) {
    throw new LoadFailure(`Failed to load entrypoint, file ${entrypoint} does not exist.`);
  }
  const handler = pickHandler(await importModule(file, entrypoint));
  if (!handler)
    throw new LoadFailure(
      "Function signature invalid. Did you forget to export a 'main' function?",
    );
  return handler;
}

async function importModule(file, entrypoint) {
  try {
    try {
      return require(file);
    } catch (error) {
      if (!ES_MODULE_CODES.has(error?.code)) throw error;
      return await import(pathToFileURL(file));
    }
  } catch (error) {
    const told = failures.get(file);
    if (told && LEFT_UNLINKED.test(error?.code)) throw told;
    const reason = (error instanceof Error && error.stack) || String(error);
    const kind =
      error instanceof SyntaxError ? `Syntax error in ${entrypoint}` : "Failed to load module";
    const failure = new LoadFailure(`${kind}: ${reason}`);
    failures.set(file, failure);
    throw failure;
  }
}

/** A CommonJS module is the handler or has it as `default`; compilers nest a second `default`. */
function pickHandler(exported) {
  return [exported, exported?.default, exported?.default?.default].find(
    (one) => typeof one === "function",
  );
}

module.exports = { load, LoadFailure };
