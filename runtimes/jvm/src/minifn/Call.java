package minifn;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/** One request in flight: its logs and its answer. */
public final class Call extends Printer {
  private static final String NATIVE_NOTICE =
      "Native logs detected. Use context.log() or context.error() for better experience.";
  private static final byte[] NOTHING = {};
  private static final long NEVER = Long.MAX_VALUE;

  private final Connection connection;
  private final Calls calls;
  final int id;
  private final boolean logging;
  /** When it times out, by {@link System#nanoTime}. */
  final long due;

  private Map<String, Object> frame;
  private byte[] body;
  private boolean noticed;
  private boolean done;
  private Runnable canceling;
  /** Whether its thread, which writes its answer together with others, is at work on it. */
  private volatile boolean turn = true;

  Call(Calls calls, Connection connection, Map<String, Object> frame, byte[] body) {
    this.calls = calls;
    this.connection = connection;
    this.frame = frame;
    this.body = body;
    id = number("id");
    logging = Boolean.TRUE.equals(frame.get("logging"));
    double seconds = (Double) frame.get("timeout");
    due = seconds > 0 ? System.nanoTime() + (long) (seconds * 1e9) : NEVER;
  }

  String text(String member) {
    return (String) frame.get(member);
  }

  int number(String member) {
    return ((Double) frame.get(member)).intValue();
  }

  @SuppressWarnings("unchecked")
  Map<String, String> headers() {
    // All values of this object are strings.
    Map<String, String> headers = (Map<String, String>) frame.get("headers");
    headers.putAll(calls.enforcedHeaders);
    return headers;
  }

  byte[] body() {
    return body;
  }

  void log(String stream, Object[] values) {
    if (logging) write(stream, Text.format(values));
  }

  /** Logs a line, unless the call was answered. */
  synchronized void write(String stream, String line) {
    if (done || !logging) return;
    connection.send(
        "{\"type\":\"log\",\"id\":" + id + ",\"stream\":\"" + stream + "\"}",
        (Text.cut(line) + "\n").getBytes(StandardCharsets.UTF_8));
  }

  @Override
  synchronized void printed(String line) {
    if (!noticed) write("logs", NATIVE_NOTICE);
    noticed = true;
    write("logs", line);
  }

  @Override
  synchronized boolean ended() {
    return done;
  }

  /** Answers with a handler's result. */
  void finish(Object result) {
    try {
      Output output = Answer.read(result);
      String headers = Answer.headers(output.getHeaders());
      answer(output.getStatusCode(), headers, output.getBody(), "");
    } catch (Answer.WrongResult wrong) {
      write("errors", wrong.getMessage());
      fail(500, "");
    }
  }

  /** Answers with the failure of the function. */
  void finish(Throwable error) {
    boolean spent = error instanceof OutOfMemoryError;
    if (spent) calls.freeReserve();
    write("errors", Text.trace(error));
    // The memory may be held for ever: the server ends this worker after its other calls.
    fail(500, spent ? ",\"stuck\":true" : "");
  }

  void fail(int status, String more) {
    answer(status, "[]", NOTHING, more);
  }

  /** Answers once, with further members of the frame's header. */
  private void answer(int status, String headers, byte[] bytes, String more) {
    endPrinting();
    synchronized (this) {
      if (done) return;
      done = true;
      connection.add(
          "{\"type\":\"response\",\"id\":"
              + id
              + ",\"statusCode\":"
              + status
              + ",\"headers\":"
              + headers
              + more
              + "}",
          bytes == null ? NOTHING : bytes);
      // Threads and loggers of the function may hold this object for ever.
      frame = null;
      body = null;
      canceling = null;
    }
    calls.remove(this);
    if (!turn) connection.flush();
  }

  /** Returns the request to the server, which gives it to another worker or sends it again. */
  void decline() {
    calls.remove(this);
    connection.send("{\"type\":\"decline\",\"id\":" + id + "}", NOTHING);
  }

  /** Notes that its thread has ended its work on it. An answer from now on is written at once. */
  void endTurn() {
    turn = false;
  }

  /** Answers for a function that has not ended in time; it goes on. */
  void timeOut() {
    write("errors", "Execution timed out.");
    Runnable cancel = canceler();
    fail(500, ",\"failure\":\"timeout\",\"stuck\":true");
    connection.flush();
    if (cancel != null) cancel.run();
  }

  /** Stops the function if it waits for something; it answers when it ends. */
  void cancel() {
    Runnable cancel = canceler();
    if (cancel != null) cancel.run();
  }

  private synchronized Runnable canceler() {
    return canceling;
  }

  /** Sets what stops the function. */
  public synchronized void onCancel(Runnable stop) {
    if (!done) canceling = stop;
  }
}
