package minifn;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;

/** Values as text in the logs, by the rules of Open Runtimes' logger. */
final class Text {
  /** Characters of one log line. */
  static final int LINE_LIMIT = 8000;

  private static final String TRUNCATED =
      "... Log truncated due to size limit (" + LINE_LIMIT + " characters)";
  /** Beginnings of the classes that call functions. */
  private static final String[] CALLERS = {
    "minifn.",
    "java.lang.Thread",
    "java.lang.reflect.",
    "java.lang.invoke.",
    "java.util.concurrent.",
    "jdk.internal.reflect.",
    "kotlin.coroutines.",
    "kotlinx.coroutines."
  };

  private Text() {}

  /** Returns the arguments of one log call as one line, without its end. */
  static String format(Object[] values) {
    if (values == null) return "null";
    if (values.length == 1) return show(values[0]);
    StringBuilder line = new StringBuilder();
    for (int at = 0; at < values.length; at++) {
      if (at > 0) line.append(' ');
      line.append(show(values[at]));
    }
    return line.toString();
  }

  private static String show(Object value) {
    if (!(value instanceof Map || value instanceof Collection)) return String.valueOf(value);
    try {
      return Codec.write(value);
    } catch (RuntimeException | StackOverflowError notJson) {
      return value.getClass().getName();
    }
  }

  /** Returns a line of up to LINE_LIMIT characters, and a note when it had more. */
  static String cut(String line) {
    return line.length() > LINE_LIMIT ? line.substring(0, LINE_LIMIT) + TRUNCATED : line;
  }

  /** Returns an error's trace, which ends where the wrapper called the function. */
  static String trace(Throwable error) {
    trim(error, Collections.newSetFromMap(new IdentityHashMap<>()));
    StringWriter text = new StringWriter();
    error.printStackTrace(new PrintWriter(text));
    return text.toString().stripTrailing();
  }

  private static void trim(Throwable error, Set<Throwable> seen) {
    if (error == null || !seen.add(error)) return;
    StackTraceElement[] frames = error.getStackTrace();
    int end = frames.length;
    while (end > 0 && isCaller(frames[end - 1].getClassName())) end--;
    if (end > 0) error.setStackTrace(Arrays.copyOf(frames, end));
    trim(error.getCause(), seen);
    for (Throwable suppressed : error.getSuppressed()) trim(suppressed, seen);
  }

  private static boolean isCaller(String name) {
    for (String beginning : CALLERS) if (name.startsWith(beginning)) return true;
    return false;
  }
}
