package minifn;

import java.util.Map;

/** The meaning of a handler's result: the header of a response frame. */
final class Answer {
  static final int BODY_LIMIT = 20 * 1024 * 1024;
  static final int HEADERS_MAX = 1000;
  /** Bytes of all headers; escaped in a frame's header, which has a limit, they may double. */
  static final int HEADERS_LIMIT = 512 * 1024 - 64;
  /** Bytes that JSON adds to a name and a value. */
  private static final int PAIR_BYTES = 8;

  private static final String NAME_SIGNS = "!#$%&'*+.^_`|~-";

  /** The handler returned something other than a response; the message is for its author. */
  static final class WrongResult extends Exception {
    private static final long serialVersionUID = 1;

    WrongResult(String message) {
      super(message, null, false, false);
    }
  }

  private Answer() {}

  /** Returns the response of a handler's result. Throws WrongResult. */
  static Output read(Object result) throws WrongResult {
    if (result == null)
      throw new WrongResult(
          "Return statement missing. return context.res.empty() if no response is expected.");
    if (!(result instanceof Output))
      throw new WrongResult(
          "The function returned a value of type "
              + result.getClass().getName()
              + ". Return what a function of context.res gives.");
    Output output = (Output) result;
    int status = output.getStatusCode();
    if (status < 100 || status > 999)
      throw new WrongResult(
          "The response's status code " + status + " is not between 100 and 999.");
    int size = output.getBody() == null ? 0 : output.getBody().length;
    if (size > BODY_LIMIT)
      throw new WrongResult(
          "The response's body has " + size + " bytes, the limit is " + BODY_LIMIT + ".");
    return output;
  }

  /** Returns headers as JSON pairs. Throws WrongResult. */
  static String headers(Map<?, ?> headers) throws WrongResult {
    if (headers == null || headers.isEmpty()) return "[]";
    Pairs pairs = new Pairs();
    for (Map.Entry<?, ?> header : headers.entrySet()) {
      // A map without types may hold anything.
      String name = String.valueOf(header.getKey());
      if (header.getValue() instanceof Iterable)
        for (Object value : (Iterable<?>) header.getValue()) pairs.add(name, value);
      else pairs.add(name, header.getValue());
    }
    return pairs.json();
  }

  private static final class Pairs {
    private final StringBuilder text = new StringBuilder();
    private int count;
    private long size;

    void add(String name, Object value) throws WrongResult {
      if (value == null) return;
      String line = value.toString();
      if (!isName(name))
        throw new WrongResult("The response's header name " + name + " is invalid.");
      if (!isValue(line))
        throw new WrongResult("The response's header " + name + " has an invalid value.");
      count++;
      size += name.length() + line.length() + PAIR_BYTES;
      if (count > HEADERS_MAX || size > HEADERS_LIMIT) return;
      text.append(count == 1 ? "[[" : ",[");
      Json.quote(text, name);
      text.append(',');
      Json.quote(text, line);
      text.append(']');
    }

    String json() throws WrongResult {
      if (count > HEADERS_MAX)
        throw new WrongResult(
            "The response has " + count + " headers, the limit is " + HEADERS_MAX + ".");
      if (size > HEADERS_LIMIT)
        throw new WrongResult(
            "The response's headers have " + size + " bytes, the limit is " + HEADERS_LIMIT + ".");
      return count == 0 ? "[]" : text.append(']').toString();
    }
  }

  private static boolean isName(String name) {
    for (int at = 0; at < name.length(); at++) {
      char one = name.charAt(at);
      boolean letter = one >= 'a' && one <= 'z' || one >= 'A' && one <= 'Z';
      if (!letter && !(one >= '0' && one <= '9') && NAME_SIGNS.indexOf(one) < 0) return false;
    }
    return !name.isEmpty();
  }

  private static boolean isValue(String value) {
    for (int at = 0; at < value.length(); at++) {
      char one = value.charAt(at);
      if (one != '\t' && (one < ' ' || one == 0x7f || one > 0xff)) return false;
    }
    return true;
  }
}
