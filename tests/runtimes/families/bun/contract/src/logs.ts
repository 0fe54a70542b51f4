import type { Routes } from "./routes.ts";

const routes: Routes = {
  "/log-values": ({ res, log, error }) => {
    log("text", 1, [1, { a: "b" }], true);
    error("broken", { code: 5 });
    log();
    return res.empty();
  },
  "/log-order": ({ res, log, error }) => {
    for (let number = 0; number < 100; number++) {
      log("log", number);
      error("error", number);
    }
    return res.empty();
  },
  "/log-native": ({ res, log }) => {
    log("before");
    console.log("printed", 1);
    console.log("printed 2");
    log("after");
    return res.empty();
  },
  "/native-raise": () => {
    console.log("printed");
    throw new Error("went wrong");
  },
  "/log-long": ({ res, log }) => {
    log("x".repeat(8000));
    log("y".repeat(8001));
    return res.empty();
  },
  "/log-flood": ({ res, log }) => {
    for (let line = 0; line < 1400; line++) log("z".repeat(8000));
    return res.empty();
  },
  "/log-endless": ({ log }) => {
    for (;;) log("z".repeat(8000));
  },
  "/log-late": ({ res, log }) => {
    setTimeout(() => log("late"), 20);
    return res.empty();
  },
};

export default routes;
