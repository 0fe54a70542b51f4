package minifn;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** The result of a handler, which describes a response; each family has a class of this kind. */
public abstract class Output {
  private final byte[] body;
  private final int statusCode;
  private final Map<String, String> headers;

  protected Output(byte[] body, int statusCode, Map<String, String> headers) {
    this.body = body;
    this.statusCode = statusCode;
    this.headers = headers;
  }

  public byte[] getBody() {
    return body;
  }

  public int getStatusCode() {
    return statusCode;
  }

  public Map<String, String> getHeaders() {
    return headers;
  }

  /** Returns the bytes of a text. */
  public static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** Returns a copy of headers with one of them set, which the copy has in no other case. */
  public static Map<String, String> withHeader(
      Map<String, String> headers, String name, String value) {
    Map<String, String> copy = new LinkedHashMap<>();
    for (Map.Entry<String, String> header : headers.entrySet())
      if (!name.equalsIgnoreCase(header.getKey())) copy.put(header.getKey(), header.getValue());
    copy.put(name, value);
    return copy;
  }
}
