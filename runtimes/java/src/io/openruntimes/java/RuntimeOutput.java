package io.openruntimes.java;

import java.util.Map;
import minifn.Output;

/** What a handler returns: a description of the response. */
public class RuntimeOutput extends Output {
  public RuntimeOutput(byte[] body, int statusCode, Map<String, String> headers) {
    super(body, statusCode, headers);
  }
}
