package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.util.List;
import java.util.Map;

final class Logs {
  private Logs() {}

  static void add(Map<String, Route> routes) {
    routes.put("/log-values", Logs::values);
    routes.put("/log-order", Logs::order);
    routes.put("/log-native", Logs::printed);
    routes.put("/native-raise", Logs::raise);
    routes.put("/log-long", Logs::lengths);
    routes.put("/log-flood", Logs::flood);
    routes.put("/log-endless", Logs::endless);
    routes.put("/log-late", Logs::late);
  }

  private static RuntimeOutput values(RuntimeContext context) {
    context.log("text", 1, List.of(1, Map.of("a", "b")), true);
    context.error("broken", Map.of("code", 5));
    context.log();
    return context.getRes().empty();
  }

  private static RuntimeOutput order(RuntimeContext context) {
    for (int number = 0; number < 100; number++) {
      context.log("log", number);
      context.error("error", number);
    }
    return context.getRes().empty();
  }

  private static RuntimeOutput printed(RuntimeContext context) {
    context.log("before");
    System.out.println("printed 1");
    System.err.println("printed 2");
    context.log("after");
    return context.getRes().empty();
  }

  private static RuntimeOutput raise(RuntimeContext context) {
    System.out.println("printed");
    throw new IllegalStateException("went wrong");
  }

  private static RuntimeOutput lengths(RuntimeContext context) {
    context.log("x".repeat(8000));
    context.log("y".repeat(8001));
    return context.getRes().empty();
  }

  private static RuntimeOutput flood(RuntimeContext context) {
    for (int line = 0; line < 1400; line++) context.log("z".repeat(8000));
    return context.getRes().empty();
  }

  private static RuntimeOutput endless(RuntimeContext context) {
    for (; ; ) context.log("z".repeat(8000));
  }

  private static RuntimeOutput late(RuntimeContext context) {
    new Thread(
            () -> {
              try {
                Thread.sleep(20);
              } catch (InterruptedException stopped) {
                return;
              }
              context.log("late");
              System.out.println("late");
            })
        .start();
    return context.getRes().empty();
  }
}
