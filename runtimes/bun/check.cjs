"use strict";
// Parses the function without running it, and fails with the message about the first file that does
// not parse:
//
//     bun check.cjs COMMON CODE ENTRYPOINT

const path = require("path");

const [common, code, entrypoint] = process.argv.slice(2);
const { readSources, requires } = require(`${common}/sources.cjs`);
const { explain } = require("./explain.cjs");

const SUFFIXES = [".tsx", ".jsx", ".ts", ".mjs", ".js", ".cjs", ".mts", ".cts"];
// Of the JavaScript that Bun reads, all may have JSX; of TypeScript, only those files.
const LOADERS = { ".ts": "ts", ".mts": "ts", ".cts": "ts", ".tsx": "tsx" };

function parse(file, source) {
  const loader = LOADERS[path.extname(file)] ?? "jsx";
  try {
    const { imports } = new Bun.Transpiler({ loader, target: "bun" }).scan(source);
    const statements = imports.filter(({ kind }) => kind === "import-statement");
    return [...statements.map((one) => one.path), ...requires(source)];
  } catch (error) {
    console.error(explain(error, file).reason);
    process.exit(1);
  }
}

readSources(code, entrypoint, SUFFIXES, parse);
