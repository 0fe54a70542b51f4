// A page with the web SDK: signs in, listens, runs a function, and prints its events.
// Browsers have localStorage and WebSocket; Node.js gets the former here, the latter by an option.
import { createRequire } from "node:module";

const kept = new Map();
globalThis.window = globalThis;
globalThis.localStorage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, value) => kept.set(key, value),
};
console.warn = () => {};

const { ENDPOINT, PROJECT, FUNCTION } = process.env;
const { Account, Client, Functions, Realtime } = createRequire(import.meta.url)("appwrite");

const client = new Client()
  .setEndpoint(ENDPOINT)
  .setEndpointRealtime(ENDPOINT.replace(/^http/, "ws"))
  .setProject(PROJECT);
const session = await new Account(client).createAnonymousSession();

let heard;
const first = new Promise((resolve) => (heard = resolve));
const channels = ["executions", `functions.${FUNCTION}`];
if (Realtime) await new Realtime(client).subscribe(channels, heard);
else client.subscribe(channels, heard);

// The SDK does not tell when it is subscribed, and has no events of earlier executions.
const run = () => new Functions(client).createExecution(FUNCTION, "hello");
const ids = [(await run()).$id];
const again = setInterval(async () => ids.push((await run()).$id), 100);
const event = await first;
clearInterval(again);

const { payload } = event;
if (!ids.includes(payload.$id)) throw new Error(`unknown execution ${payload.$id}`);
if (!payload.$permissions.includes(`read("user:${session.userId}")`))
  throw new Error(payload.$permissions);
if (!event.events.includes(`functions.${FUNCTION}.executions.${payload.$id}.create`))
  throw new Error(event.events);
console.log("heard", payload.status);
process.exit(0);
