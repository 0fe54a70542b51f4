const { execFileSync } = require("child_process");

class Point {
  constructor() {
    this.x = 1;
    this.big = new Date(0);
  }
}

const circle = { name: "circle" };
circle.self = circle;
circle.list = [circle];
const shared = { a: 1 };

// [value, what the log shows]
const VALUES = [
  ["text", "text"],
  [undefined, "null"],
  [null, "null"],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [new Date(NaN), "null"],
  [12n, '"12"'],
  [{ deep: [12n] }, '{"deep":["12"]}'],
  [new Set([1, undefined]), "[1,null]"],
  [new Map([["k", new Map([[1, 2]])]]), '[["k",[[1,2]]]]'],
  [new URL("https://example.com/a?b"), '"https://example.com/a?b"'],
  [NaN, '"NaN"'],
  [[-Infinity, -0, 0.5], '["-Infinity","-0",0.5]'],
  [/a+/gi, '"/a+/gi"'],
  [Buffer.from("hi"), "[104,105]"],
  [new Uint8Array(2), "[0,0]"],
  [circle, '{"name":"circle","self":null,"list":[null]}'],
  [[shared, shared], '[{"a":1},{"a":1}]'],
  [() => 1, ""],
  [Symbol("s"), ""],
  [{ f: () => 1, u: undefined, n: null }, '{"u":null,"n":null}'],
  [{ cause: new RangeError("inner") }, '{"cause":{"name":"RangeError","message":"inner"}}'],
  [new Point(), '{"x":1,"big":"1970-01-01T00:00:00.000Z"}'],
  [Object.create(null), "{}"],
  [Object.assign(Object.create({ toString: null }), { big: 1n }), "[object Object]"],
];

const ROUTES = {
  "/values": ({ res, log }) => {
    for (const [value] of VALUES) log(value);
    return res.json(VALUES.map(([, shown]) => shown));
  },
  "/error": ({ res, error }) => {
    error(new Error("logged"), "after");
    return res.empty();
  },
  "/throw-text": () => {
    throw "just text";
  },
  "/throw-null": () => {
    throw null;
  },
  "/throw-object": () => {
    throw { code: 7 };
  },
  "/cause": () => {
    throw new Error("outer", { cause: new Error("inner") });
  },
  "/reject": () => Promise.reject(new TypeError("rejected")),
  "/native": ({ res }) => {
    console.log("%s", "log");
    console.info({ a: 1 });
    console.debug([1]);
    console.warn("warn");
    console.error("error");
    return res.empty();
  },
  "/overlap": async ({ req, res, log }) => {
    console.log("native", req.bodyText);
    await new Promise((resolve) => setTimeout(resolve, Number(req.query.ms)));
    await null;
    console.log("again", req.bodyText);
    log("log", req.bodyText);
    return res.text(req.bodyText);
  },
  "/unhandled": async () => {
    Promise.reject(new Error("nobody listens"));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  },
  "/timer": async ({ log }) => {
    log("before");
    setTimeout(() => {
      throw new Error("in a timer");
    }, 1);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  },
  "/exit": ({ log }) => {
    log("before");
    process.exit(0);
  },
  "/descriptors": ({ res }) => res.text(execFileSync("ls", ["/proc/self/fd"])),
  "/descriptors-text": ({ res }) => res.text(execFileSync("ls", ["/proc/self/fd"]).toString()),
  "/body-number": ({ res }) => res.send(50),
  "/body-object": ({ res }) => res.send({ a: 1 }),
  "/array-buffer": ({ res }) => res.binary(new Uint16Array([1, 2]).buffer),
  "/headers-object": ({ res }) =>
    res.text("x", 200, new (globalThis.Headers ?? Map)([["X-One", "1"]])),
  "/destructured": ({ req: { bodyJson, bodyText }, res: { json } }) => json({ bodyJson, bodyText }),
  "/spread": ({ req, res }) => res.json(Object.keys({ ...req }).sort()),
  "/late-answer": ({ res }) => ({
    then: (resolve) => setTimeout(() => resolve(res.text("thenable")), 5),
  }),
  "/wrong-header": ({ res }) => res.text("x", 200, { "bad name": "1" }),
  "/linger": () => new Promise(() => {}),
  "/pid": ({ res }) => res.text(String(process.pid)),
};

module.exports = (context) => ROUTES[context.req.path](context);
