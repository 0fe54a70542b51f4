"use strict";
// One warm worker: reads requests from the inherited socket, runs the function and answers.
// Requests overlap. Node.js, Bun and Deno give what differs between them to `serve`.

const { AsyncLocalStorage } = require("async_hooks");
const { Connection } = require("./frames.cjs");
const { makeRequest, makeResponse, readResult, WrongResult } = require("./context.cjs");
const { load, LoadFailure } = require("./load.cjs");
const { format } = require("./text.cjs");

// The function may replace the globals.
const { setTimeout, clearTimeout } = globalThis;

const NATIVE_NOTICE =
  "Native logs detected. Use context.log() or context.error() for better experience.";
const NATIVE_METHODS = ["log", "info", "debug", "warn", "error"];

const environment = takeEnvironment();
const enforcedHeaders = parseEnforcedHeaders(process.env.OPEN_RUNTIMES_HEADERS);
let language;
let connection;
const currentCall = new AsyncLocalStorage();
const calls = new Map();
// Lines that the import printed ahead of requests; the first request logs them.
const importLines = [];
let handler = null;
let importing = null;
let stopping = false;

/** One request in flight. */
class Call {
  constructor(frame) {
    this.id = frame.id;
    this.logging = frame.logging;
    this.noticed = false;
    this.done = false;
    this.timer = frame.timeout > 0 ? setTimeout(timeOut, frame.timeout * 1000, this) : null;
  }

  write(stream, line) {
    if (this.done || !this.logging) return;
    connection.sendNow(`{"type":"log","id":${this.id},"stream":"${stream}"}`, line + "\n");
  }

  writeNative(line) {
    if (!this.noticed) this.write("logs", NATIVE_NOTICE);
    this.noticed = true;
    this.write("logs", line);
  }

  /** Answers once; `more` holds further members of the frame's header. */
  answer(statusCode, headers, body, more = "") {
    if (this.done) return;
    const members = `"statusCode":${statusCode},"headers":${JSON.stringify(headers)}${more}`;
    connection.send(`{"type":"response","id":${this.id},${members}}`, body);
    this.end();
  }

  end() {
    this.done = true;
    clearTimeout(this.timer);
    calls.delete(this.id);
    if (stopping && calls.size === 0) connection.finish();
  }
}

function timeOut(call) {
  call.write("errors", "Execution timed out.");
  // The function cannot be stopped.
  call.answer(500, [], "", ',"failure":"timeout","stuck":true');
}

async function runCall(call, frame, body) {
  try {
    const main = handler ?? (await importHandler());
    for (const line of importLines.splice(0)) call.writeNative(line);
    const context = {
      req: makeRequest(frame, body, enforcedHeaders, language.toBinary),
      res: makeResponse(),
      log: (...values) => call.write("logs", format(values)),
      error: (...values) => call.write("errors", format(values)),
    };
    const response = readResult(await currentCall.run(call, main, context));
    call.answer(response.statusCode, response.headers, response.body);
  } catch (error) {
    for (const line of importLines.splice(0)) call.writeNative(line);
    const ours = error instanceof WrongResult || error instanceof LoadFailure;
    call.write("errors", ours ? error.message : format([error]));
    call.answer(error instanceof LoadFailure ? 503 : 500, [], "");
  }
}

/** Imports the function once; after a failure the next request tries again. */
async function importHandler() {
  importing ??= Promise.resolve().then(() =>
    load(environment.code, process.env.OPEN_RUNTIMES_ENTRYPOINT ?? "", language),
  );
  try {
    handler = await importing;
    return handler;
  } finally {
    importing = null;
  }
}

/** Returns the call for output outside of calls: the one that imports, or the only one. */
function onlyCall() {
  return importing || calls.size === 1 ? calls.values().next().value : undefined;
}

/** Sends console output to its request. */
function captureConsole() {
  for (const name of NATIVE_METHODS) {
    const original = console[name];
    console[name] = (...values) => {
      const call = currentCall.getStore() ?? onlyCall();
      if (call) call.writeNative(format(values));
      else if (importing) importLines.push(format(values));
      else original.apply(console, values);
    };
  }
}

function takeEnvironment() {
  const taken = { socket: process.env.MINIFN_SOCKET, code: process.env.MINIFN_CODE };
  for (const name of Object.keys(process.env))
    if (name.startsWith("MINIFN_")) delete process.env[name];
  return taken;
}

function parseEnforcedHeaders(text) {
  const headers = {};
  try {
    for (const [name, value] of Object.entries(JSON.parse(text || "{}")))
      headers[name.toLowerCase()] = String(value);
  } catch {
    return {};
  }
  return headers;
}

function onFrame(frame, body) {
  if (frame.type === "request") {
    const call = new Call(frame);
    calls.set(call.id, call);
    runCall(call, frame, body);
  } else if (frame.type === "cancel") {
    // The function may go on; its answer is ignored.
    calls.get(frame.id)?.answer(500, [], "");
  } else if (frame.type === "load") {
    const imported = handler ? Promise.resolve() : importHandler();
    const tell = frame.answer ? (text) => connection.sendNow('{"type":"loaded"}', text) : () => {};
    imported.then(
      () => tell(""),
      (error) => tell(error instanceof LoadFailure ? error.message : format([error])),
    );
  } else if (frame.type === "stop") {
    stopping = true;
    if (calls.size === 0) connection.finish();
  }
}

/**
 * Serves the function. The language has:
 *
 * - `open(fd, onBytes, onEnd)`: opens the socket, which then has `write(bytes)` and `end(done)`. It
 *   calls `onBytes(bytes)`, which reads the bytes before it returns, and `onEnd()` once.
 * - `importFile(file, query)`: returns a promise of the exports of an entry file. `query` is empty
 *   at first and differs at each further try, for a language that keeps modules that failed.
 * - `toBinary(body)`: returns what `req.bodyBinary` is, for a Buffer.
 * - `explain(error)`, optional: as in load.cjs, for a failed import.
 * - `leftUnlinked(error)`, optional: whether a second import failed only because the first one did.
 */
function serve(served) {
  language = served;
  captureConsole();
  connection = new Connection(environment.socket, language.open, onFrame);
  connection.sendNow('{"type":"ready","protocol":1,"concurrency":0}', "");
}

module.exports = { serve };
