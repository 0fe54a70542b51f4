package io.openruntimes.java;

import java.util.Map;
import minifn.Output;

/** The result of a handler, which describes a response. */
public class RuntimeOutput extends Output {
  public RuntimeOutput(byte[] body, int statusCode, Map<String, String> headers) {
    super(body, statusCode, headers);
  }
}
