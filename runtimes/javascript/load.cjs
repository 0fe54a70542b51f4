"use strict";
// Imports the function; the default export is the handler.

const fs = require("fs");
const path = require("path");
const { withoutOwnFrames } = require("./text.cjs");

let tries = 0;
// The last failure to import the function's module.
let failure = null;

/** The function could not be imported; the message is for its author. */
class LoadFailure extends Error {}

/** Returns the handler exported by `entrypoint` below `code`. Throws LoadFailure. */
async function load(code, entrypoint, language) {
  const file = path.join(code, entrypoint);
  if (!fs.existsSync(file) || !fs.statSync(file).isFile()) {
    throw new LoadFailure(`Failed to load entrypoint, file ${entrypoint} does not exist.`);
  }
  const handler = pickHandler(await importModule(file, entrypoint, language));
  if (!handler)
    throw new LoadFailure(
      "Function signature invalid. Did you forget to export a 'main' function?",
    );
  return handler;
}

async function importModule(file, entrypoint, language) {
  tries += 1;
  const query = tries > 1 ? `?${tries}` : "";
  try {
    return await language.importFile(file, query);
  } catch (error) {
    const { reason, ofSyntax } = (language.explain ?? explain)(error);
    const kind = ofSyntax ? `Syntax error in ${entrypoint}` : "Failed to load module";
    const name = path.basename(file);
    const shown = withoutOwnFrames(reason).replaceAll(name + query, name);
    const latest = new LoadFailure(`${kind}: ${shown}`);
    // A second import may leave out parts of the reason.
    const same = failure && firstLine(failure) === firstLine(latest);
    if (!failure || !(same || language.leftUnlinked?.(error))) failure = latest;
    throw failure;
  }
}

/** Returns why an import failed, and whether a file does not parse. */
function explain(error) {
  return {
    reason: (error instanceof Error && error.stack) || String(error),
    ofSyntax: error instanceof SyntaxError,
  };
}

function firstLine(error) {
  return error.message.split("\n", 1)[0];
}

/**
 * A CommonJS module is the handler or has it as `default`; compilers nest a second `default`, and
 * `import` puts another around both.
 */
function pickHandler(exported) {
  const first = exported?.default;
  return [exported, first, first?.default, first?.default?.default].find(
    (one) => typeof one === "function",
  );
}

module.exports = { load, LoadFailure };
