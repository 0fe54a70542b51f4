/** A handler's argument, as far as the routes use it. */
export type Context = Record<"req" | "res" | "log" | "error", any>;
export type Routes = Record<string, (context: Context) => unknown>;
