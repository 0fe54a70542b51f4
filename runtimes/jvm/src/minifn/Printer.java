package minifn;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Cuts printed bytes into lines, and sends them to the call or the import that printed them. */
abstract class Printer {
  /** Bytes that are kept of a line: more than the characters that a log line may have. */
  private static final int LINE_BYTES = 4 * Text.LINE_LIMIT + 4;

  /** The printer of each thread; threads that a function starts inherit it. */
  static final InheritableThreadLocal<Printer> CURRENT = new InheritableThreadLocal<>();

  private byte[] line = {};
  private int size;

  /** Takes one printed line, without its end. */
  abstract void printed(String line);

  /** Tells whether nothing takes its lines any more. */
  abstract boolean ended();

  final synchronized void print(byte[] bytes, int from, int count) {
    int start = from;
    for (int at = from; at < from + count; at++) {
      if (bytes[at] != '\n') continue;
      keep(bytes, start, at - start);
      endLine();
      start = at + 1;
    }
    keep(bytes, start, from + count - start);
  }

  private void keep(byte[] bytes, int from, int count) {
    int kept = Math.min(count, LINE_BYTES - size);
    if (kept <= 0) return;
    if (size + kept > line.length) line = Arrays.copyOf(line, Math.max(256, 2 * (size + kept)));
    System.arraycopy(bytes, from, line, size, kept);
    size += kept;
  }

  private void endLine() {
    String text = new String(line, 0, size, StandardCharsets.UTF_8);
    size = 0;
    printed(text);
  }

  /** Takes a last line without an end. */
  final synchronized void endPrinting() {
    if (size > 0) endLine();
  }
}
