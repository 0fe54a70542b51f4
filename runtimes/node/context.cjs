"use strict";
// What a handler is given (`context.req`, `context.res`) and what its return value means.

const BODY_LIMIT = 20 * 1024 * 1024;
const HEADERS_LIMIT = 512 * 1024;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The handler returned something that is no response; the message tells its author what to change. */
class WrongResult extends Error {}

/** Returns `context.req` for a request frame; `enforced` are headers that win over the caller's. */
function makeRequest(frame, bodyBinary, enforced) {
  const { method, scheme, host, port, path, query: queryString, headers } = frame;
  for (const name in enforced) headers[name] = enforced[name];
  const shownPort = port === (scheme === "https" ? 443 : 80) ? "" : `:${port}`;
  return {
    get body() {
      const type = (headers["content-type"] ?? "text/plain").toLowerCase();
      if (!type.startsWith("application/json")) return this.bodyText;
      return this.bodyBinary.length > 0 ? this.bodyJson : {};
    },
    get bodyRaw() {
      return this.bodyText;
    },
    get bodyText() {
      return this.bodyBinary.toString();
    },
    get bodyJson() {
      return JSON.parse(this.bodyText);
    },
    get bodyBinary() {
      return bodyBinary;
    },
    headers,
    method,
    host,
    scheme,
    query: parseQuery(queryString),
    queryString,
    port,
    url: `${scheme}://${host}${shownPort}${path}${queryString === "" ? "" : `?${queryString}`}`,
    path,
  };
}

function parseQuery(queryString) {
  const query = {};
  if (queryString === "") return query;
  for (const pair of queryString.split("&")) {
    const equals = pair.indexOf("=");
    const key = equals < 0 ? pair : pair.slice(0, equals);
    if (key) query[key] = equals < 0 ? "" : pair.slice(equals + 1);
  }
  return query;
}

/** Returns `context.res`. Its functions only describe a response: what counts is what the handler returns. */
function makeResponse() {
  return { text, json, binary, empty, redirect, send };
}

function send(body, statusCode = 200, headers = {}) {
  return { body, statusCode, headers };
}

function text(body, statusCode = 200, headers = {}) {
  if (typeof body !== "string") {
    throw new TypeError(`context.res.text() takes a string, not ${kind(body)}. Use context.res.json() or binary().`);
  }
  return { body, statusCode, headers };
}

function json(value, statusCode = 200, headers = {}) {
  for (const name of Object.keys(headers)) if (name.toLowerCase() === "content-type") delete headers[name];
  headers["content-type"] = "application/json";
  return { body: JSON.stringify(value), statusCode, headers };
}

function binary(bytes, statusCode = 200, headers = {}) {
  return { body: bytes, statusCode, headers };
}

function empty() {
  return { body: "", statusCode: 204, headers: {} };
}

function redirect(url, statusCode = 301, headers = {}) {
  headers.location = url;
  return { body: "", statusCode, headers };
}

/** Returns { statusCode, headers: [[name, value]], body: string | Uint8Array } or throws WrongResult. */
function readResult(result) {
  if (result === null || result === undefined) {
    throw new WrongResult("Return statement missing. return context.res.empty() if no response is expected.");
  }
  if (typeof result !== "object") {
    throw new WrongResult(`The function returned ${kind(result)}. Return what a function of context.res gives.`);
  }
  const statusCode = Number(result.statusCode ?? 200);
  if (!Number.isInteger(statusCode) || statusCode < 100 || statusCode > 999) {
    throw new WrongResult(`The response's status code ${String(result.statusCode)} is not between 100 and 999.`);
  }
  return { statusCode, headers: readHeaders(result.headers ?? {}), body: readBody(result.body ?? "") };
}

function readBody(body) {
  const bytes = typeof body === "string" ? body : toBytes(body);
  const size = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
  if (size > BODY_LIMIT) throw new WrongResult(`The response's body has ${size} bytes, the limit is ${BODY_LIMIT}.`);
  return bytes;
}

function toBytes(body) {
  if (body instanceof Uint8Array) return body;
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) return new Uint8Array(body);
  return JSON.stringify(body) ?? "";
}

function readHeaders(headers) {
  const pairs = [];
  let size = 0;
  const entries = typeof headers[Symbol.iterator] === "function" ? headers : Object.entries(headers);
  for (const [name, value] of entries) {
    if (value === undefined || value === null) continue;
    if (!HEADER_NAME.test(name)) throw new WrongResult(`The response's header name ${JSON.stringify(name)} is invalid.`);
    for (const one of Array.isArray(value) ? value : [value]) {
      const line = String(one);
      if (!HEADER_VALUE.test(line)) throw new WrongResult(`The response's header ${name} has an invalid value.`);
      size += name.length + line.length;
      pairs.push([name, line]);
    }
  }
  if (size > HEADERS_LIMIT) throw new WrongResult(`The response's headers have ${size} bytes, the limit is ${HEADERS_LIMIT}.`);
  return pairs;
}

function kind(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}

module.exports = { makeRequest, makeResponse, readResult, WrongResult };
