package io.openruntimes.java;

import java.util.Collections;
import java.util.Map;
import minifn.Codec;
import minifn.Output;

/** Makes responses, {@code context.getRes()}; only what the handler returns counts. */
public class RuntimeResponse {
  private static final Map<String, String> NONE = Collections.emptyMap();

  public RuntimeOutput binary(byte[] bytes, int statusCode, Map<String, String> headers) {
    return new RuntimeOutput(bytes, statusCode, headers);
  }

  public RuntimeOutput binary(byte[] bytes, int statusCode) {
    return binary(bytes, statusCode, NONE);
  }

  public RuntimeOutput binary(byte[] bytes) {
    return binary(bytes, 200);
  }

  public RuntimeOutput text(String body, int statusCode, Map<String, String> headers) {
    return binary(Output.bytes(body), statusCode, headers);
  }

  public RuntimeOutput text(String body, int statusCode) {
    return text(body, statusCode, NONE);
  }

  public RuntimeOutput text(String body) {
    return text(body, 200);
  }

  /** The same as {@link #text(String, int, Map)}. */
  public RuntimeOutput send(String body, int statusCode, Map<String, String> headers) {
    return text(body, statusCode, headers);
  }

  public RuntimeOutput send(String body, int statusCode) {
    return text(body, statusCode);
  }

  public RuntimeOutput send(String body) {
    return text(body);
  }

  public RuntimeOutput json(
      Map<String, ? extends Object> json, int statusCode, Map<String, String> headers) {
    return text(
        Codec.write(json),
        statusCode,
        Output.withHeader(headers, "content-type", "application/json"));
  }

  public RuntimeOutput json(Map<String, ? extends Object> json, int statusCode) {
    return json(json, statusCode, NONE);
  }

  public RuntimeOutput json(Map<String, ? extends Object> json) {
    return json(json, 200);
  }

  public RuntimeOutput empty() {
    return text("", 204);
  }

  public RuntimeOutput redirect(String url, int statusCode, Map<String, String> headers) {
    return text("", statusCode, Output.withHeader(headers, "location", url));
  }

  public RuntimeOutput redirect(String url, int statusCode) {
    return redirect(url, statusCode, NONE);
  }

  public RuntimeOutput redirect(String url) {
    return redirect(url, 301);
  }
}
