package minifn;

import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** System.out and System.err of the function: its lines go to the logs of the call. */
final class NativeOutput extends OutputStream {
  private final Calls calls;
  private final PrintStream original;

  private NativeOutput(Calls calls, PrintStream original) {
    this.calls = calls;
    this.original = original;
  }

  /** Replaces both streams. */
  static void capture(Calls calls) {
    System.setOut(printTo(new NativeOutput(calls, System.out)));
    System.setErr(printTo(new NativeOutput(calls, System.err)));
  }

  private static PrintStream printTo(NativeOutput output) {
    return new PrintStream(output, true, StandardCharsets.UTF_8);
  }

  @Override
  public void write(int one) {
    write(new byte[] {(byte) one}, 0, 1);
  }

  @Override
  public void write(byte[] bytes, int from, int count) {
    Printer printer = Printer.CURRENT.get();
    // A thread that outlives its call may serve a later one.
    if (printer == null || printer.ended()) printer = calls.only();
    if (printer != null) printer.print(bytes, from, count);
    else original.write(bytes, from, count);
  }

  @Override
  public void flush() {
    original.flush();
  }
}
