"use strict";
// Bun's own part of a worker:
//
//     bun server.cjs COMMON

const [common] = process.argv.splice(2, 1);
const { serve } = require(`${common}/worker.cjs`);
const { explain } = require("./explain.cjs");

/**
 * Opens the socket by Bun's own functions, because loading node:net takes a third of a worker's
 * start. `write` of such a socket returns how many bytes the system took; the rest waits here.
 */
function open(fd, onBytes, onEnd) {
  const unsent = [];
  let socket = null;
  let onSent = null;

  function send() {
    while (socket && unsent.length > 0) {
      const [bytes] = unsent;
      const taken = socket.write(bytes);
      if (taken < bytes.length) {
        unsent[0] = bytes.subarray(Math.max(taken, 0));
        return;
      }
      unsent.shift();
    }
    if (unsent.length === 0) onSent?.();
  }

  Bun.connect({
    fd,
    socket: {
      open(opened) {
        socket = opened;
        send();
      },
      data: (_, bytes) => onBytes(bytes),
      drain: send,
      end: onEnd,
      close: onEnd,
      error: onEnd,
    },
  });
  return {
    write(bytes) {
      if (unsent.push(bytes) === 1) send();
    },
    end(done) {
      onSent = done;
      send();
    },
  };
}

serve({
  open,
  // Never `require`: with it Bun loses a race against `import` of the same module.
  importFile: (file, query) => import(file + query),
  toBinary: ({ buffer, byteOffset, length }) => buffer.slice(byteOffset, byteOffset + length),
  explain,
});
