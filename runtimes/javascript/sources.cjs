"use strict";
// Reading a function's own files without running them: the entrypoint and those that it imports at
// once, by path. Packages are not looked at, and neither is a file of another language, or one of
// which the language cannot tell before it runs whether it will be loaded.

const fs = require("fs");
const path = require("path");

// A statement at the beginning of a line: not one that a condition or a function may skip.
const REQUIRE = /^(?:(?:const|let|var)\s[^=;]*=\s*)?require\(\s*(["'])(\.\.?\/[^"'\n]+)\1\s*\)/gm;
const SOURCE = /\.[cm]?[jt]sx?$/;

/**
 * Calls `parse(file, source)` for each file, which returns the paths that it imports.
 *
 * `suffixes` are those that an import may leave out.
 */
function readSources(code, entrypoint, suffixes, parse) {
  const seen = new Set();
  const waiting = [resolve(code, entrypoint, suffixes)];
  for (const file of waiting) {
    if (!file || seen.has(file)) continue;
    seen.add(file);
    const imports = parse(file, fs.readFileSync(file, "utf8").replace(/^#!.*/, ""));
    const near = imports.filter((name) => /^\.\.?\//.test(name));
    waiting.push(...near.map((name) => resolve(path.dirname(file), name, suffixes)));
  }
}

/** Returns the file that is meant by an import from `folder`, "" when it is none of JavaScript. */
function resolve(folder, name, suffixes) {
  const whole = path.join(folder, name);
  const candidates = [whole, ...suffixes.map((suffix) => whole + suffix)];
  const found = candidates.find((file) => fs.existsSync(file) && fs.statSync(file).isFile());
  return found && SOURCE.test(found) ? found : "";
}

/** Returns the paths that a CommonJS module requires whenever it is loaded. */
function requires(source) {
  return [...source.matchAll(REQUIRE)].map((found) => found[2]);
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

module.exports = { readSources, requires, typeOf };
