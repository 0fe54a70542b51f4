// The arguments of a handler in Node.js, Bun and Deno, for editors and TypeScript:
//
//     /** @type {import("./handler").Handler} */
//     export default async ({ req, res }) => res.text(`Hello, ${req.bodyText}!`);

/** Headers of a response; those of a list are sent one by one. */
export type Headers =
  | Record<string, string | number | string[] | null | undefined>
  | Iterable<[string, string | number | string[]]>;

/** A response, as the functions of `context.res` return it and the handler returns it on. */
export interface Result {
  body: unknown;
  statusCode: number;
  headers: Headers;
}

/** `context.req`: the request. A body is parsed when it is read. */
export interface Request {
  readonly method: string;
  readonly scheme: string;
  /** Without the port. */
  readonly host: string;
  readonly port: number;
  /** The whole address. */
  readonly url: string;
  /** As it was sent, as are the text after `?` and its pairs. */
  readonly path: string;
  readonly queryString: string;
  /** The last of a repeated name counts. */
  readonly query: Record<string, string>;
  /** By name in lower case. */
  readonly headers: Record<string, string>;
  /** The body as UTF-8. */
  readonly bodyText: string;
  /** The body parsed as JSON. Throws SyntaxError. */
  readonly bodyJson: any;
  /** A Buffer in Node.js, an ArrayBuffer in Bun and Deno. */
  readonly bodyBinary: any;
  /** Parsed JSON when `content-type` begins with `application/json`, otherwise text. */
  readonly body: any;
  /** An old name of `bodyText`. */
  readonly bodyRaw: string;
}

/** `context.res`: each function returns a response, which the handler must return. */
export interface Response {
  text(body: string, statusCode?: number, headers?: Headers): Result;
  json(value: unknown, statusCode?: number, headers?: Headers): Result;
  binary(bytes: ArrayBufferView | ArrayBuffer, statusCode?: number, headers?: Headers): Result;
  redirect(url: string, statusCode?: number, headers?: Headers): Result;
  empty(): Result;
  /** An old name of `text` and `binary`. */
  send(body: unknown, statusCode?: number, headers?: Headers): Result;
}

/** The argument of a handler. */
export interface Context {
  readonly req: Request;
  readonly res: Response;
  /** Writes a line to `logs`; lists and objects are written as JSON. */
  log(...messages: unknown[]): void;
  /** Writes a line to `errors`. */
  error(...messages: unknown[]): void;
}

/** The default export of a function's entrypoint. */
export type Handler = (context: Context) => Result | Promise<Result>;
