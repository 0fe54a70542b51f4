package io.openruntimes.java;

import minifn.Call;
import minifn.Request;

/** The request, {@code context.getReq()}. */
public class RuntimeRequest extends Request {
  RuntimeRequest(Call call) {
    super(call);
  }
}
