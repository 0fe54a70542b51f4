// One interface to every version of the JavaScript SDKs: methods take one object and are counted.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

/** The names of a method's parameters; newer methods take one object as their first. */
function parametersOf(method) {
  const written = /\(([^)]*)\)/.exec(method.toString())[1].split(",");
  const names = written.map((name) => name.split("=")[0].trim()).filter(Boolean);
  return names[0] === "paramsOrFirst" ? null : names;
}

export class Service {
  /** `called` gets the names of called methods. */
  constructor(service, called = new Set()) {
    this.called = called;
    const proxy = new Proxy(this, {
      get: (self, name) => {
        if (name in self || typeof service[name] !== "function") return self[name];
        return (parameters = {}) => {
          self.called.add(name);
          const names = parametersOf(service[name]);
          return names
            ? service[name](...names.map((key) => parameters[key]))
            : service[name](parameters);
        };
      },
    });
    this.service = service;
    return proxy;
  }

  /** Fails unless every method was called. */
  checkAllCalled() {
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(this.service));
    assert.deepEqual(
      methods.filter((name) => name !== "constructor" && !this.called.has(name)),
      [],
      "not called",
    );
  }
}

/** Checks that a promise is refused, and the SDK's exception for it. */
export const refused = (code, type, promise) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.constructor.name, "AppwriteException", String(error.stack));
    assert.deepEqual([error.code, error.type], [code, type], error.message);
    assert.ok(error.message);
    return true;
  });

/** Calls until the answer has a status. */
export async function until(call, status) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await call();
    if (found.status === status) return found;
    assert.ok(
      !["failed", "ready", "canceled", "completed"].includes(found.status),
      JSON.stringify(found),
    );
    assert.ok(Date.now() < deadline, JSON.stringify(found));
    await pause(20);
  }
}
