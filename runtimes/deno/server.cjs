"use strict";
// Deno's own part of a worker:
//
//     deno eval 'import "WRAPPER/server.cjs"' COMMON

const net = require("net");
const { pathToFileURL } = require("url");

const [common] = process.argv.splice(2, 1);
const { serve } = require(`${common}/worker.cjs`);

// Numbers of fcntl(2).
const F_SETFD = 2;
const FD_CLOEXEC = 1;

function open(fd, onBytes, onEnd) {
  keepFromChildren(fd);
  const socket = new net.Socket({ fd });
  socket.on("data", onBytes);
  socket.on("end", onEnd);
  socket.on("error", onEnd);
  return socket;
}

/** Closes a descriptor in programs that the function starts; Deno has no function for that. */
function keepFromChildren(fd) {
  const library = Deno.build.os === "darwin" ? "libSystem.dylib" : "libc.so.6";
  const fcntl = { parameters: ["i32", "i32", "i32"], result: "i32" };
  Deno.dlopen(library, { fcntl }).symbols.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/** Returns why an import failed; Deno has messages about syntax in a TypeError. */
function explain(error) {
  const reason = (error instanceof Error && error.stack) || String(error);
  const ofSyntax = error instanceof SyntaxError || /^SyntaxError: /.test(error?.message);
  return { reason: reason.replace(/^TypeError: (?=SyntaxError: )/, ""), ofSyntax };
}

serve({
  open,
  importFile: (file, query) => import(pathToFileURL(file) + query),
  toBinary: ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length),
  explain,
});
