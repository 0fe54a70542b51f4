package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

final class Requests {
  private Requests() {}

  static void add(Map<String, Route> routes) {
    routes.put(
        "/body-json",
        context -> context.getRes().json(Map.of("parsed", context.getReq().getBodyJson())));
    routes.put(
        "/body-binary", context -> context.getRes().binary(context.getReq().getBodyBinary()));
    routes.put("/body-text", context -> context.getRes().text(context.getReq().getBodyText()));
    routes.put("/beside", context -> context.getRes().text(Beside.TEXT));
    routes.put("/file", Requests::file);
    routes.put("/environment", context -> context.getRes().json(System.getenv()));
    routes.put("/unicode", Requests::unicode);
    routes.put("/shell", Requests::shell);
  }

  /** Answers with the request. */
  static RuntimeOutput mirror(RuntimeContext context) {
    var req = context.getReq();
    Map<String, Object> value = new HashMap<>();
    value.put("method", req.getMethod());
    value.put("scheme", req.getScheme());
    value.put("host", req.getHost());
    value.put("port", req.getPort());
    value.put("path", req.getPath());
    value.put("queryString", req.getQueryString());
    value.put("query", req.getQuery());
    value.put("url", req.getUrl());
    value.put("headers", req.getHeaders());
    value.put("bodyText", req.getBodyText());
    value.put("body", req.getBody());
    return context.getRes().json(value);
  }

  private static RuntimeOutput file(RuntimeContext context) throws IOException {
    return context.getRes().text(Files.readString(Path.of("greeting.txt")));
  }

  private static RuntimeOutput shell(RuntimeContext context)
      throws IOException, InterruptedException {
    Process shell =
        new ProcessBuilder("/bin/sh", "-c", context.getReq().getBodyText())
            .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    byte[] output = shell.getInputStream().readAllBytes();
    shell.waitFor();
    return context.getRes().binary(output);
  }

  private static RuntimeOutput unicode(RuntimeContext context) {
    String text = context.getReq().getBodyText() + " ñ";
    context.log(text);
    context.error(text);
    return context.getRes().text(text);
  }
}
