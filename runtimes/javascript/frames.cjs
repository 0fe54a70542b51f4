"use strict";
// The frames of a worker's socket: u32 header length | u32 body length | JSON header | body,
// big-endian.

const LENGTHS = 8;

/** Cuts the byte stream into frames; pieces of a frame are gathered in one buffer. */
class Reader {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.lengths = Buffer.alloc(LENGTHS);
    this.frame = this.lengths;
    this.filled = 0;
  }

  /** Reads bytes that are valid only during the call. */
  push(chunk) {
    let start = 0;
    if (this.filled > 0) start = this.continueFrame(chunk);
    while (start < chunk.length) {
      const size = chunk.length - start >= LENGTHS ? frameSize(chunk, start) : Infinity;
      if (chunk.length - start < size) {
        this.beginFrame(chunk, start);
        return;
      }
      this.emit(chunk, start, size);
      start += size;
    }
  }

  beginFrame(chunk, start) {
    this.frame =
      chunk.length - start >= LENGTHS
        ? Buffer.allocUnsafeSlow(frameSize(chunk, start))
        : this.lengths;
    this.filled = chunk.copy(this.frame, 0, start);
  }

  continueFrame(chunk) {
    let start = 0;
    if (this.frame === this.lengths) {
      start = chunk.copy(this.lengths, this.filled);
      this.filled += start;
      if (this.filled < LENGTHS) return start;
      this.frame = Buffer.allocUnsafeSlow(frameSize(this.lengths, 0));
      this.lengths.copy(this.frame);
    }
    const copied = chunk.copy(this.frame, this.filled, start);
    this.filled += copied;
    if (this.filled === this.frame.length) {
      const frame = this.frame;
      this.frame = this.lengths;
      this.filled = 0;
      this.emit(frame, 0, frame.length, true);
    }
    return start + copied;
  }

  emit(source, start, size, owned = false) {
    const bodyStart = start + LENGTHS + source.readUInt32BE(start);
    const header = JSON.parse(source.utf8Slice(start + LENGTHS, bodyStart));
    const body = source.subarray(bodyStart, start + size);
    this.onFrame(header, owned ? body : Buffer.from(body));
  }
}

function frameSize(buffer, start) {
  return LENGTHS + buffer.readUInt32BE(start) + buffer.readUInt32BE(start + 4);
}

/** Returns the bytes of one frame; `body` is a string or a Uint8Array. */
function encode(header, body) {
  const headerBytes = Buffer.byteLength(header);
  const bodyBytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  const frame = Buffer.allocUnsafe(LENGTHS + headerBytes + bodyBytes);
  frame.writeUInt32BE(headerBytes, 0);
  frame.writeUInt32BE(bodyBytes, 4);
  frame.utf8Write(header, LENGTHS);
  if (typeof body === "string") frame.utf8Write(body, LENGTHS + headerBytes);
  else frame.set(body, LENGTHS + headerBytes);
  return frame;
}

/** The connection to the server. It calls `onFrame(header, body)`; its end ends the process. */
class Connection {
  /** `address` is `fd:N`; `open` is as in worker.cjs. */
  constructor(address, open, onFrame) {
    const reader = new Reader(onFrame);
    const onBytes = (bytes) => reader.push(bytes);
    this.socket = open(Number(address.slice("fd:".length)), onBytes, () => process.exit(0));
    this.waiting = [];
    this.flush = this.flush.bind(this);
    process.on("exit", this.flush);
  }

  /** Writes at once, even if the process never returns to its event loop. */
  sendNow(header, body) {
    this.waiting.push(encode(header, body));
    this.flush();
  }

  /** Writes after the running code, together with all that is sent until then. */
  send(header, body) {
    if (this.waiting.push(encode(header, body)) === 1) process.nextTick(this.flush);
  }

  flush() {
    const { waiting } = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    this.socket.write(waiting.length === 1 ? waiting[0] : Buffer.concat(waiting));
  }

  /** Ends the process once all frames are written. */
  finish() {
    this.flush();
    this.socket.end(() => process.exit(0));
  }
}

module.exports = { Connection, Reader, encode };
