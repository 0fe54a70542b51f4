import answers from "./answers.ts";
import failures from "./failures.ts";
import logs from "./logs.ts";
import requests from "./requests.ts";
import type { Context, Routes } from "./routes.ts";

const ROUTES: Routes = { ...answers, ...failures, ...logs, ...requests };

// Whatever is not a route mirrors the request.
export default async (context: Context) => {
  if (context.req.path === "/raise") {
    context.log("called");
    throw new TypeError("went wrong");
  }
  return (ROUTES[context.req.path] ?? requests["/mirror"])(context);
};
