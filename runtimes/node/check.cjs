"use strict";
// Parses the function without running it, and fails with V8's message about the first file that
// does not parse:
//
//     node --experimental-vm-modules check.cjs COMMON CODE ENTRYPOINT

const nodeModule = require("module");
const path = require("path");
const vm = require("vm");

const [common, code, entrypoint] = process.argv.slice(2);
const { readSources, requires, typeOf } = require(`${common}/sources.cjs`);

const TYPESCRIPT = /\.[cm]?ts$/;
const readsTypeScript = nodeModule.stripTypeScriptTypes && process.features.typescript;
const UNREAD =
  `Node.js ${process.versions.node} does not read TypeScript, versions from 22.18 on do.` +
  " Or let the build command compile it to JavaScript.";

// By V8, about syntax that a CommonJS module cannot have.
const MODULE_SYNTAX =
  /^(Cannot use (import statement|'import.meta')|Unexpected token 'export'|await is only valid)/;
const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];

/** Returns the paths that a file imports. Throws SyntaxError. */
function importsOf(file, source) {
  const suffix = path.extname(file);
  const asCommon = () => {
    vm.compileFunction(source, PARAMETERS, { filename: file });
    return requires(source);
  };
  const asModule = () => {
    const module = new vm.SourceTextModule(source, { identifier: file });
    const requests = module.moduleRequests?.map((request) => request.specifier);
    return requests ?? module.dependencySpecifiers;
  };
  switch (/^\.[jt]s$/.test(suffix) ? typeOf(path.dirname(file)) : suffix) {
    case ".mjs":
    case ".mts":
    case "module":
      return asModule();
    case ".cjs":
    case ".cts":
    case "commonjs":
      return asCommon();
  }
  // Without a type it is a module, in the newer versions of Node.js, when it parses as one alone.
  try {
    return asCommon();
  } catch (error) {
    try {
      return asModule();
    } catch (other) {
      throw MODULE_SYNTAX.test(error.message) ? other : error;
    }
  }
}

/** Returns the JavaScript in a source of TypeScript; lines and columns stay. */
function withoutTypes(file, source) {
  try {
    return nodeModule.stripTypeScriptTypes(source);
  } catch (error) {
    // Whether Node.js takes an `enum` depends on the function's variable NODE_OPTIONS.
    if (error.code === "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") return "";
    // The place is known to Node.js itself, which cannot run a file that does not parse.
    require(file);
    throw error;
  }
}

function parse(file, source) {
  const isTypeScript = TYPESCRIPT.test(file);
  try {
    return importsOf(file, isTypeScript && readsTypeScript ? withoutTypes(file, source) : source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) return [];
    if (isTypeScript && !readsTypeScript) console.error(UNREAD);
    const message = error.stack.replace(/\n    at [^]*/, "");
    // The place in a module is known to Node.js itself, which shows it for an error that nothing
    // catches.
    if (message.startsWith("SyntaxError")) throw error;
    console.error(message);
    process.exit(1);
  }
}

readSources(code, entrypoint, [".js"], parse);
