"use strict";
// Bun's own part of a worker:
//
//     bun server.cjs COMMON

const net = require("net");
const { pathToFileURL } = require("url");

const [common] = process.argv.splice(2, 1);
const { serve } = require(`${common}/worker.cjs`);

// `new net.Socket({ fd })` closes the descriptor.
function open(fd, onBytes, onEnd) {
  const socket = net.connect({ fd });
  socket.on("data", onBytes);
  socket.on("end", onEnd);
  socket.on("error", onEnd);
  return socket;
}

/** Returns why an import failed; Bun's messages about syntax are no errors of JavaScript. */
function explain(error) {
  const messages = error instanceof AggregateError ? error.errors : [error];
  const ofSyntax = messages.every((one) => one?.constructor?.name === "BuildMessage");
  const reason = ofSyntax
    ? messages.map(describe).join("\n")
    : (error instanceof Error && error.stack) || String(error);
  return { reason, ofSyntax: ofSyntax || error instanceof SyntaxError };
}

function describe({ message, position }) {
  if (!position) return message;
  const { file, line, column, lineText } = position;
  return `${message}\n${lineText}\n${" ".repeat(column - 1)}^\n    at ${file}:${line}:${column}`;
}

serve({
  open,
  // Never `require`: with it Bun loses a race against `import` of the same module.
  importFile: (file, query) => import(pathToFileURL(file) + query),
  toBinary: ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length),
  explain,
});
