"use strict";
// Bun's own part of a worker:
//
//     bun server.cjs COMMON

const net = require("net");

const [common] = process.argv.splice(2, 1);
const { serve } = require(`${common}/worker.cjs`);
const { explain } = require("./explain.cjs");

// `new net.Socket({ fd })` closes the descriptor.
function open(fd, onBytes, onEnd) {
  const socket = net.connect({ fd });
  socket.on("data", onBytes);
  socket.on("end", onEnd);
  socket.on("error", onEnd);
  return socket;
}

serve({
  open,
  // Never `require`: with it Bun loses a race against `import` of the same module.
  importFile: (file, query) => import(file + query),
  toBinary: ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length),
  explain,
});
