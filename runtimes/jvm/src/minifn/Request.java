package minifn;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** The request of a call, {@code context.req}; each family has a class of this kind. */
public abstract class Request {
  private final String method;
  private final String scheme;
  private final String host;
  private final int port;
  private final String path;
  private final String queryString;
  private final Map<String, String> query = new LinkedHashMap<>();
  private final Map<String, String> headers;
  private final byte[] body;

  protected Request(Call call) {
    method = call.text("method");
    scheme = call.text("scheme");
    host = call.text("host");
    port = call.number("port");
    path = call.text("path");
    queryString = call.text("query");
    headers = call.headers();
    body = call.body();
    parseQuery();
  }

  private void parseQuery() {
    int start = 0;
    while (start < queryString.length()) {
      int end = queryString.indexOf('&', start);
      if (end < 0) end = queryString.length();
      int equals = queryString.indexOf('=', start);
      if (equals < 0 || equals > end) equals = end;
      if (equals > start)
        query.put(
            queryString.substring(start, equals),
            queryString.substring(Math.min(equals + 1, end), end));
      start = end + 1;
    }
  }

  /** The verb, upper-case. */
  public String getMethod() {
    return method;
  }

  public String getScheme() {
    return scheme;
  }

  /** The host name, without the port. */
  public String getHost() {
    return host;
  }

  public int getPort() {
    return port;
  }

  /** The path as it was sent, not decoded. */
  public String getPath() {
    return path;
  }

  /** The text after the question mark, not decoded. */
  public String getQueryString() {
    return queryString;
  }

  /** The parts of the query string, not decoded; the last value of a repeated key. */
  public Map<String, String> getQuery() {
    return query;
  }

  /** The headers by lower-case name. */
  public Map<String, String> getHeaders() {
    return headers;
  }

  public String getUrl() {
    StringBuilder url = new StringBuilder(scheme).append("://").append(host);
    if (port != (scheme.equals("https") ? 443 : 80)) url.append(':').append(port);
    url.append(path);
    if (!queryString.isEmpty()) url.append('?').append(queryString);
    return url.toString();
  }

  public byte[] getBodyBinary() {
    return body;
  }

  public String getBodyText() {
    return new String(body, StandardCharsets.UTF_8);
  }

  /** The same as {@link #getBodyText}. */
  public String getBodyRaw() {
    return getBodyText();
  }

  /** The members of a JSON object, numbers as doubles. Throws for any other body. */
  public Map<String, Object> getBodyJson() {
    return Codec.parseObject(getBodyText());
  }

  /** The JSON object of a body of type application/json, empty for none; else the text. */
  public Object getBody() {
    String type = headers.getOrDefault("content-type", "text/plain").toLowerCase(Locale.ROOT);
    if (!type.startsWith("application/json")) return getBodyText();
    return body.length > 0 ? getBodyJson() : new HashMap<String, Object>();
  }
}
