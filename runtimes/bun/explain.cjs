"use strict";

/**
 * Returns why an import failed, and whether a file does not parse, for load.cjs.
 *
 * Bun's messages about syntax are not errors of JavaScript. `parsed` is the file that a message is
 * about when it was read from a string.
 */
function explain(error, parsed = "") {
  const messages = error instanceof AggregateError ? error.errors : [error];
  if (messages.every((one) => one?.constructor?.name === "BuildMessage")) {
    return { reason: messages.map((one) => describe(one, parsed)).join("\n"), ofSyntax: true };
  }
  if (error?.constructor?.name === "ResolveMessage") {
    return { reason: error.message, ofSyntax: false };
  }
  return {
    reason: (error instanceof Error && error.stack) || String(error),
    ofSyntax: error instanceof SyntaxError,
  };
}

function describe({ message, position }, parsed) {
  if (!position) return message;
  const { file, line, column, lineText } = position;
  const mark = " ".repeat(column - 1) + "^";
  return `${message}\n${lineText}\n${mark}\n    at ${parsed || file}:${line}:${column}`;
}

module.exports = { explain };
