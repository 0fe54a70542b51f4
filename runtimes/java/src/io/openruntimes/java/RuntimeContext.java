package io.openruntimes.java;

import minifn.Call;
import minifn.Context;

/** The argument of a handler. */
public class RuntimeContext extends Context {
  private final RuntimeRequest req;
  private final RuntimeResponse res = new RuntimeResponse();

  public RuntimeContext(Call call) {
    super(call);
    req = new RuntimeRequest(call);
  }

  public RuntimeRequest getReq() {
    return req;
  }

  public RuntimeResponse getRes() {
    return res;
  }
}
