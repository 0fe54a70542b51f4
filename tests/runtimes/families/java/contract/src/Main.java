package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;
import java.util.HashMap;
import java.util.Map;

public class Main {
  private static final Map<String, Route> ROUTES = new HashMap<>();

  static {
    Answers.add(ROUTES);
    Failures.add(ROUTES);
    Logs.add(ROUTES);
    Requests.add(ROUTES);
  }

  public RuntimeOutput main(RuntimeContext context) throws Exception {
    if (context.getReq().getPath().equals("/raise")) {
      context.log("called");
      throw new IllegalStateException("went wrong");
    }
    return ROUTES.getOrDefault(context.getReq().getPath(), Requests::mirror).handle(context);
  }
}
