package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

final class Failures {
  private static final int MIB = 1024 * 1024;
  private static final String WORKER = String.valueOf(System.nanoTime());
  private static final AtomicInteger CALLS = new AtomicInteger();

  private Failures() {}

  static void add(Map<String, Route> routes) {
    routes.put(
        "/state",
        context ->
            context.getRes().json(Map.of("calls", CALLS.incrementAndGet(), "worker", WORKER)));
    routes.put("/exit", Failures::exit);
    routes.put("/overflow", context -> context.getRes().text(String.valueOf(overflow(1))));
    routes.put("/memory", Failures::memory);
    routes.put("/sleep", Failures::sleep);
    routes.put("/never", Failures::never);
    routes.put("/spin", Failures::spin);
    routes.put("/echo", Failures::echo);
  }

  private static RuntimeOutput exit(RuntimeContext context) throws IOException {
    context.log("called");
    // Not closed: that would close standard error.
    FileOutputStream standardError = new FileOutputStream(FileDescriptor.err);
    standardError.write("last words\n".getBytes(StandardCharsets.UTF_8));
    System.exit(7);
    return null;
  }

  private static int overflow(int depth) {
    return overflow(depth + 1) + 1;
  }

  private static RuntimeOutput memory(RuntimeContext context) {
    List<byte[]> kept = new ArrayList<>();
    for (; ; ) kept.add(new byte[MIB]);
  }

  private static RuntimeOutput sleep(RuntimeContext context) throws InterruptedException {
    context.log("begun");
    Thread.sleep((long) (1000 * Double.parseDouble(context.getReq().getQueryString())));
    return context.getRes().text(WORKER);
  }

  private static RuntimeOutput never(RuntimeContext context) throws InterruptedException {
    context.log("begun");
    Thread.sleep(Long.MAX_VALUE);
    return null;
  }

  private static RuntimeOutput spin(RuntimeContext context) {
    context.log("begun");
    for (; ; ) Thread.onSpinWait();
  }

  private static RuntimeOutput echo(RuntimeContext context) throws InterruptedException {
    String body = context.getReq().getBodyText();
    context.log("first", body);
    context.error("error", body);
    Thread.sleep(Long.parseLong(context.getReq().getQueryString()));
    context.log("second", body);
    return context.getRes().text(body);
  }
}
