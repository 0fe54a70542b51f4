"use strict";
// Parsing the function without running it:
//
//     node --experimental-vm-modules check.cjs CODE ENTRYPOINT
//
// Read are the entrypoint and those of the function's own files that it imports at once, by path. The first that does
// not parse ends this with exit code 1 and V8's message. Packages are not looked at, and neither is a file of another
// language, or one of which Node.js cannot tell before it runs whether it will be loaded.

const fs = require("fs");
const path = require("path");
const vm = require("vm");

// A statement at the beginning of a line: not one that a condition or a function may skip.
const REQUIRE = /^(?:(?:const|let|var)\s[^=;]*=\s*)?require\(\s*(["'])(\.\.?\/[^"'\n]+)\1\s*\)/gm;
// By V8, about syntax that a CommonJS module cannot have.
const MODULE_SYNTAX = /^(Cannot use import statement|Cannot use 'import.meta'|Unexpected token 'export'|await is only valid)/;
const PARAMETERS = ["exports", "require", "module", "__filename", "__dirname"];

/** Returns the paths that a file imports by `./` and `../`. Throws SyntaxError. */
function parse(file) {
  const source = fs.readFileSync(file, "utf8").replace(/^#!.*/, "");
  const asCommon = () => {
    vm.compileFunction(source, PARAMETERS, { filename: file });
    return [...source.matchAll(REQUIRE)].map((found) => found[2]);
  };
  const asModule = () => {
    const module = new vm.SourceTextModule(source, { identifier: file });
    const imports = module.moduleRequests?.map((request) => request.specifier) ?? module.dependencySpecifiers;
    return imports.filter((name) => /^\.\.?\//.test(name));
  };
  switch (path.extname(file) === ".js" ? typeOf(path.dirname(file)) : path.extname(file)) {
    case ".mjs":
    case "module":
      return asModule();
    case ".cjs":
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

/** Returns the `type` of the nearest package.json, "" when it has none. */
function typeOf(folder) {
  const file = path.join(folder, "package.json");
  if (fs.existsSync(file)) {
    try {
      return JSON.parse(fs.readFileSync(file, "utf8")).type ?? "";
    } catch {
      return "";
    }
  }
  return folder === path.dirname(folder) ? "" : typeOf(path.dirname(folder));
}

/** Returns the file that is meant by an import from `folder`, "" when it is none of JavaScript. */
function resolve(folder, name) {
  const whole = path.join(folder, name);
  const found = [whole, `${whole}.js`].find((file) => fs.existsSync(file) && fs.statSync(file).isFile());
  return found && /\.[cm]?js$/.test(found) ? found : "";
}

function main(code, entrypoint) {
  const seen = new Set();
  const waiting = [resolve(code, entrypoint)];
  for (const file of waiting) {
    if (!file || seen.has(file)) continue;
    seen.add(file);
    let imports;
    try {
      imports = parse(file);
    } catch (error) {
      if (!(error instanceof SyntaxError)) continue;
      const message = error.stack.replace(/\n    at [^]*/, "");
      // The place in a module is known to Node.js itself, which shows it for an error that nothing catches.
      if (message.startsWith("SyntaxError")) throw error;
      console.error(message);
      process.exit(1);
    }
    waiting.push(...imports.map((name) => resolve(path.dirname(file), name)));
  }
}

main(process.argv[2], process.argv[3]);
