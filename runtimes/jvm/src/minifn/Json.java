package minifn;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as maps, lists, strings, doubles, booleans and null: the shapes that Gson gives for a map.
 *
 * <p>Functions get Gson's where the machine has it ({@link Codec}), and this otherwise.
 */
public final class Json {
  private static final String HEX = "0123456789abcdef";
  private static final int DEPTH_MAX = 512;

  /** Text that is not JSON, or a value that JSON cannot show. */
  public static final class Invalid extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    Invalid(String message) {
      super(message);
    }
  }

  private final String text;
  private int at;
  private int depth;

  private Json(String text) {
    this.text = text;
  }

  /** Returns the value of a JSON text. Throws Invalid. */
  public static Object parse(String text) {
    Json parser = new Json(text);
    Object value = parser.value();
    parser.blanks();
    if (parser.at < text.length()) throw parser.invalid("end of text");
    return value;
  }

  /** Returns the members of a JSON object. Throws Invalid. */
  @SuppressWarnings("unchecked")
  public static Map<String, Object> parseObject(String text) {
    Object value = parse(text);
    if (!(value instanceof Map)) throw new Invalid("JSON: expected an object");
    return (Map<String, Object>) value;
  }

  private Invalid invalid(String expected) {
    return new Invalid(
        at < text.length()
            ? "JSON: expected " + expected + " at character " + (at + 1)
            : "JSON: expected " + expected + ", but the text ends");
  }

  private void blanks() {
    while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) at++;
  }

  private Object value() {
    blanks();
    switch (at < text.length() ? text.charAt(at) : 0) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return string();
      case 't':
        return word("true", true);
      case 'f':
        return word("false", false);
      case 'n':
        return word("null", null);
      default:
        return number();
    }
  }

  private Object word(String word, Object value) {
    if (!text.startsWith(word, at)) throw invalid("a value");
    at += word.length();
    return value;
  }

  private void open() {
    at++;
    if (++depth > DEPTH_MAX) throw new Invalid("JSON: nested too deeply");
    blanks();
  }

  private boolean closes(char bracket) {
    if (at >= text.length() || text.charAt(at) != bracket) return false;
    at++;
    depth--;
    return true;
  }

  /** Reads a comma, true, or the closing bracket, false. */
  private boolean next(char bracket) {
    blanks();
    if (closes(bracket)) return false;
    expect(',');
    blanks();
    return true;
  }

  private void expect(char wanted) {
    if (at >= text.length() || text.charAt(at) != wanted) throw invalid("'" + wanted + "'");
    at++;
  }

  private Map<String, Object> object() {
    Map<String, Object> members = new LinkedHashMap<>();
    open();
    if (closes('}')) return members;
    do {
      if (at >= text.length() || text.charAt(at) != '"') throw invalid("a name");
      String name = string();
      blanks();
      expect(':');
      members.put(name, value());
    } while (next('}'));
    return members;
  }

  private List<Object> array() {
    List<Object> items = new ArrayList<>();
    open();
    if (closes(']')) return items;
    do items.add(value());
    while (next(']'));
    return items;
  }

  private String string() {
    int from = ++at;
    for (; at < text.length(); at++) {
      char one = text.charAt(at);
      if (one == '"') return text.substring(from, at++);
      if (one == '\\') return escaped(from);
      if (one < ' ') throw invalid("an escaped control character");
    }
    throw invalid("'\"'");
  }

  private String escaped(int from) {
    StringBuilder content = new StringBuilder().append(text, from, at);
    while (at < text.length()) {
      char one = text.charAt(at);
      if (one < ' ') throw invalid("an escaped control character");
      at++;
      if (one == '"') return content.toString();
      content.append(one == '\\' ? escape() : one);
    }
    throw invalid("'\"'");
  }

  private char escape() {
    char one = at < text.length() ? text.charAt(at) : 0;
    if (one == 'u') {
      int code = 0;
      for (int digit = 1; digit <= 4; digit++) {
        int value = at + digit < text.length() ? Character.digit(text.charAt(at + digit), 16) : -1;
        if (value < 0) throw invalid("four hexadecimal digits");
        code = code * 16 + value;
      }
      at += 5;
      return (char) code;
    }
    int known = "\"\\/bfnrt".indexOf(one);
    if (known < 0) throw invalid("an escape");
    at++;
    return "\"\\/\b\f\n\r\t".charAt(known);
  }

  private Double number() {
    int from = at;
    while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) at++;
    String digits = text.substring(from, at);
    int first = digits.startsWith("-") ? 1 : 0;
    boolean plain =
        digits.length() > first
            && digits.charAt(first) >= '0'
            && digits.charAt(first) <= '9'
            && !(digits.startsWith("0", first)
                && digits.length() > first + 1
                && Character.isDigit(digits.charAt(first + 1)))
            && !digits.endsWith(".")
            && !digits.contains(".e")
            && !digits.contains(".E");
    at = from;
    if (!plain) throw invalid("a value");
    try {
      Double value = Double.valueOf(digits);
      at = from + digits.length();
      return value;
    } catch (NumberFormatException error) {
      throw invalid("a value");
    }
  }

  /** Returns a value as compact JSON. Throws Invalid for NaN, infinity and a circle. */
  public static String write(Object value) {
    StringBuilder text = new StringBuilder();
    write(text, value, new IdentityHashMap<>());
    return text.toString();
  }

  private static void write(StringBuilder text, Object value, Map<Object, Object> above) {
    if (value == null || value instanceof Boolean) {
      text.append(value);
    } else if (value instanceof Number) {
      double number = ((Number) value).doubleValue();
      if (Double.isNaN(number) || Double.isInfinite(number))
        throw new Invalid("JSON has no number " + value);
      text.append(value);
    } else if (value instanceof CharSequence || value instanceof Character) {
      quote(text, value.toString());
    } else if (value instanceof Enum) {
      quote(text, ((Enum<?>) value).name());
    } else {
      if (above.put(value, value) != null) throw new Invalid("JSON cannot show a circle");
      writeNested(text, value, above);
      above.remove(value);
    }
  }

  private static void writeNested(StringBuilder text, Object value, Map<Object, Object> above) {
    if (value instanceof Map) {
      writeMembers(text, (Map<?, ?>) value, above);
    } else if (value instanceof Collection) {
      String between = "[";
      for (Object item : (Collection<?>) value) {
        write(text.append(between), item, above);
        between = ",";
      }
      text.append(between.equals("[") ? "[]" : "]");
    } else if (value.getClass().isArray()) {
      List<Object> items = new ArrayList<>();
      for (int at = 0; at < Array.getLength(value); at++) items.add(Array.get(value, at));
      write(text, items, above);
    } else {
      writeMembers(text, fields(value), above);
    }
  }

  private static void writeMembers(
      StringBuilder text, Map<?, ?> members, Map<Object, Object> above) {
    String between = "{";
    for (Map.Entry<?, ?> member : members.entrySet()) {
      quote(text.append(between), String.valueOf(member.getKey()));
      write(text.append(':'), member.getValue(), above);
      between = ",";
    }
    text.append(between.equals("{") ? "{}" : "}");
  }

  /** Returns the fields of an object of the function, its superclasses' last. */
  private static Map<String, Object> fields(Object value) {
    Map<String, Object> fields = new LinkedHashMap<>();
    for (Class<?> type = value.getClass(); type != null; type = type.getSuperclass())
      for (Field field : type.getDeclaredFields()) {
        if ((field.getModifiers() & (Modifier.STATIC | Modifier.TRANSIENT)) != 0) continue;
        try {
          field.setAccessible(true);
          fields.putIfAbsent(field.getName(), field.get(value));
        } catch (ReflectiveOperationException | RuntimeException closed) {
          throw new Invalid("JSON cannot show a " + value.getClass().getName());
        }
      }
    return fields;
  }

  /** Appends text as a JSON string. */
  static void quote(StringBuilder text, String content) {
    text.append('"');
    for (int at = 0; at < content.length(); at++) {
      char one = content.charAt(at);
      int known = "\"\\\b\f\n\r\t".indexOf(one);
      if (known >= 0) text.append('\\').append("\"\\bfnrt".charAt(known));
      else if (one < ' ' || Character.isSurrogate(one) && !paired(content, at)) escape(text, one);
      else text.append(one);
    }
    text.append('"');
  }

  /** Tells whether the surrogate is half of a character: UTF-8 has no others. */
  private static boolean paired(String content, int at) {
    int other = Character.isHighSurrogate(content.charAt(at)) ? at + 1 : at - 1;
    return other >= 0
        && other < content.length()
        && Character.isSurrogatePair(
            content.charAt(Math.min(at, other)), content.charAt(Math.max(at, other)));
  }

  private static void escape(StringBuilder text, char one) {
    text.append("\\u")
        .append(HEX.charAt(one >> 12))
        .append(HEX.charAt(one >> 8 & 15))
        .append(HEX.charAt(one >> 4 & 15))
        .append(HEX.charAt(one & 15));
  }
}
