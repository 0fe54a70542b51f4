package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.util.LinkedHashMap;
import java.util.Map;

/** A function to begin from: `/ping` answers `Pong`, any other path with what was asked. */
public class Main {
  public RuntimeOutput main(RuntimeContext context) {
    var req = context.getReq();
    if (req.getPath().equals("/ping")) {
      return context.getRes().text("Pong");
    }
    context.log("asked for", req.getPath());
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("message", "It works. Now change it.");
    answer.put("method", req.getMethod());
    answer.put("path", req.getPath());
    return context.getRes().json(answer);
  }
}
