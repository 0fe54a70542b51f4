// The parts of a browser that the web SDK uses: pages with an origin, cookies, storage, and fetch
// with CORS (https://fetch.spec.whatwg.org/#http-cors-protocol). The SDK sees what a page sees.

const network = globalThis.fetch;
const SIMPLE_METHODS = ["GET", "HEAD", "POST"];
const SIMPLE_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
const SIMPLE_HEADERS = ["accept", "accept-language", "content-language"];
const READABLE = [
  "cache-control",
  "content-language",
  "content-length",
  "content-type",
  "expires",
  "last-modified",
  "pragma",
];

const listed = (header) => (header ?? "").split(",").map((name) => name.trim().toLowerCase());

const isSimple = ([name, value]) =>
  SIMPLE_HEADERS.includes(name) ||
  (name === "content-type" && SIMPLE_TYPES.includes(value.split(";")[0].trim()));

/** The error that a page sees instead of an answer that CORS forbids. */
const blocked = (why) => new TypeError(`Failed to fetch: ${why}`);

export class Browser {
  storage = new Map();
  preflights = 0;
  /** Cookies by name, of the one host that is called. */
  #cookies = new Map();

  /** A browser with a page of `origin`, optionally without cookies or storage. */
  constructor(origin, { cookies = true, storage = true } = {}) {
    this.origin = origin;
    this.keepsCookies = cookies;
    this.localStorage = storage && {
      getItem: (key) => this.storage.get(key) ?? null,
      setItem: (key, value) => this.storage.set(key, String(value)),
      removeItem: (key) => this.storage.delete(key),
    };
  }

  get cookies() {
    return [...this.#cookies.keys()];
  }

  /** Makes this the SDK's browser. */
  enter() {
    const location = new URL(this.origin);
    globalThis.window = {
      localStorage: this.localStorage || undefined,
      location,
      console: { warn() {} },
    };
    globalThis.fetch = (url, options) => this.#fetch(new URL(url), options ?? {});
  }

  async #fetch(url, options) {
    const request = new Request(url, { ...options, duplex: "half" });
    const withCookies = request.credentials === "include";
    const special = [...request.headers]
      .filter((header) => !isSimple(header))
      .map(([name]) => name)
      .sort();
    if (special.length || !SIMPLE_METHODS.includes(request.method)) {
      await this.#preflight(url, request.method, special, withCookies);
    }
    const sent = new Headers(options.headers);
    sent.set("origin", this.origin);
    if (withCookies && this.#mayHaveCookies(url) && this.#cookies.size) {
      sent.set("cookie", [...this.#cookies].map((pair) => pair.join("=")).join("; "));
    }
    const answer = await network(url, { ...options, headers: sent });
    this.#check(answer, withCookies);
    if (withCookies && this.#mayHaveCookies(url)) this.#keep(answer.headers.getSetCookie());
    const readable = [...READABLE, ...listed(answer.headers.get("access-control-expose-headers"))];
    const headers = [...answer.headers].filter(([name]) => readable.includes(name));
    const body = answer.status === 204 ? null : await answer.arrayBuffer();
    return new Response(body, { status: answer.status, headers });
  }

  async #preflight(url, method, names, withCookies) {
    this.preflights += 1;
    const headers = { origin: this.origin, "access-control-request-method": method };
    if (names.length) headers["access-control-request-headers"] = names.join(",");
    const answer = await network(url, { method: "OPTIONS", headers });
    this.#check(answer, withCookies);
    if (!answer.ok) throw blocked(`the preflight was answered with ${answer.status}`);
    const methods = listed(answer.headers.get("access-control-allow-methods"));
    if (!SIMPLE_METHODS.includes(method) && !methods.includes(method.toLowerCase()))
      throw blocked(`method ${method}`);
    const allowed = listed(answer.headers.get("access-control-allow-headers"));
    for (const name of names) if (!allowed.includes(name)) throw blocked(`header ${name}`);
  }

  #check(answer, withCookies) {
    const origin = answer.headers.get("access-control-allow-origin");
    if (origin !== this.origin && (withCookies || origin !== "*"))
      throw blocked(`allowed origin is ${origin}`);
    if (withCookies && answer.headers.get("access-control-allow-credentials") !== "true")
      throw blocked("credentials");
  }

  /** Pages of another site neither send nor keep cookies with SameSite=Lax. */
  #mayHaveCookies(url) {
    return this.keepsCookies && url.hostname === new URL(this.origin).hostname;
  }

  #keep(cookies) {
    for (const cookie of cookies) {
      const [pair, ...attributes] = cookie.split(";").map((part) => part.trim());
      const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
      if (attributes.includes("max-age=0")) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
  }
}
