package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

final class Answers {
  private static final int MIB = 1024 * 1024;

  private Answers() {}

  static void add(Map<String, Route> routes) {
    routes.put("/text", context -> context.getRes().text("héllo"));
    routes.put("/text-201", context -> text(context, "made", 201, Map.of("X-Kept", "yes")));
    routes.put("/json", Answers::json);
    routes.put("/binary", Answers::binary);
    routes.put("/empty", context -> context.getRes().empty());
    routes.put("/send", context -> context.getRes().send("sent", 203));
    routes.put("/redirect", context -> context.getRes().redirect("https://example.com/a?b=c"));
    routes.put(
        "/redirect-302",
        context -> context.getRes().redirect("/there", 302, Map.of("x-why", "moved")));
    routes.put(
        "/html", context -> text(context, "<p>", 200, Map.of("Content-Type", "Text/HTML")));
    routes.put(
        "/charset",
        context -> text(context, "x", 200, Map.of("content-type", "text/html; charset=ISO-8859-1")));
    routes.put(
        "/multipart",
        context ->
            text(context, "x", 200, Map.of("content-type", "multipart/form-data; boundary=AbC")));
    routes.put(
        "/hidden",
        context -> text(context, "x", 200, Map.of("X-Open-Runtimes-Secret", "1", "x-seen", "2")));
    routes.put(
        "/injection",
        context -> text(context, "x", 200, Map.of("x-bad", "a\r\nx-evil: 1", "x-good", "1")));
    routes.put(
        "/handmade",
        context -> new RuntimeOutput("made".getBytes(StandardCharsets.UTF_8), 202, Map.of()));
    routes.put("/not-modified", context -> context.getRes().text("dropped", 304));
    routes.put("/twice", Answers::twice);
    routes.put("/nothing", context -> null);
    routes.put("/status-99", context -> context.getRes().text("x", 99));
    routes.put("/large", context -> context.getRes().binary(new byte[20 * MIB]));
    routes.put("/too-large", context -> context.getRes().binary(new byte[20 * MIB + 1]));
    routes.put("/many-headers", Answers::manyHeaders);
  }

  private static RuntimeOutput text(
      RuntimeContext context, String body, int status, Map<String, String> headers) {
    return context.getRes().text(body, status, headers);
  }

  private static RuntimeOutput json(RuntimeContext context) {
    Map<String, Object> value = new HashMap<>();
    value.put("text", "é");
    value.put("list", Arrays.asList("a", null, true));
    value.put("empty", List.of());
    return context.getRes().json(value, 201, Map.of("Content-Type", "text/html"));
  }

  private static RuntimeOutput binary(RuntimeContext context) {
    byte[] bytes = new byte[256];
    for (int at = 0; at < bytes.length; at++) bytes[at] = (byte) at;
    return context.getRes().binary(bytes);
  }

  private static RuntimeOutput twice(RuntimeContext context) {
    context.getRes().text("first");
    return context.getRes().text("second");
  }

  private static RuntimeOutput manyHeaders(RuntimeContext context) {
    String[] numbers = context.getReq().getQueryString().split(",");
    String value = "\"".repeat(Integer.parseInt(numbers[1]));
    Map<String, String> headers = new HashMap<>();
    for (int at = 0; at < Integer.parseInt(numbers[0]); at++) headers.put("x-" + at, value);
    return text(context, "x", 200, headers);
  }
}
