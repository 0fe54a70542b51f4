package minifn;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Field;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Locale;
import java.util.Map;

/**
 * One warm worker: reads requests from the inherited socket, runs the function, each call on a
 * thread, and answers.
 *
 * <p>Arguments: the name of the {@link Family}. The frames are described in
 * minifn/workers/protocol.py. Code that runs before the first call avoids lambdas, which cost
 * milliseconds of a start.
 */
public final class Server {
  private static Threads threads;

  private final Connection connection;
  private final Calls calls;
  private final Entry entry;

  private Server(Connection connection, Calls calls, Entry entry) {
    this.connection = connection;
    this.calls = calls;
    this.entry = entry;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> taken = takeEnvironment();
    String socket = taken.get("MINIFN_SOCKET");
    Connection connection = new Connection(Integer.parseInt(socket.substring("fd:".length())));
    Calls calls = new Calls(enforcedHeaders(System.getenv("OPEN_RUNTIMES_HEADERS")));
    NativeOutput.capture(calls);
    connection.send("{\"type\":\"ready\",\"protocol\":1,\"concurrency\":0}", new byte[0]);
    connection.flush();
    Family family = (Family) Class.forName(arguments[0]).getDeclaredConstructor().newInstance();
    String entrypoint = System.getenv().getOrDefault("OPEN_RUNTIMES_ENTRYPOINT", "");
    Entry entry = new Entry(family, new File(taken.get("MINIFN_CODE")), entrypoint);
    threads = new Threads(connection);
    start("minifn writer", connection);
    start("minifn threads", threads);
    start("minifn deadlines", calls);
    new Server(connection, calls, entry).serve();
  }

  private static void start(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
  }

  /** Removes and returns the variables of the server, which the function must not see. */
  @SuppressWarnings("unchecked")
  private static Map<String, String> takeEnvironment() throws ReflectiveOperationException {
    Map<String, String> taken = new HashMap<>();
    for (Map.Entry<String, String> variable : System.getenv().entrySet())
      if (variable.getKey().startsWith("MINIFN_"))
        taken.put(variable.getKey(), variable.getValue());
    // System.getenv and child processes have their variables from this map.
    Class<?> environment = Class.forName("java.lang.ProcessEnvironment");
    Field variables = environment.getDeclaredField("theEnvironment");
    variables.setAccessible(true);
    Iterator<Object> names = ((Map<Object, Object>) variables.get(null)).keySet().iterator();
    while (names.hasNext()) if (names.next().toString().startsWith("MINIFN_")) names.remove();
    return taken;
  }

  private static Map<String, String> enforcedHeaders(String text) {
    Map<String, String> headers = new HashMap<>();
    if (text == null || text.isEmpty()) return headers;
    try {
      for (Map.Entry<String, Object> header : Json.parseObject(text).entrySet())
        headers.put(header.getKey().toLowerCase(Locale.ROOT), show(header.getValue()));
    } catch (Json.Invalid ignored) {
      // As upstream: no headers.
      headers.clear();
    }
    return headers;
  }

  private static String show(Object value) {
    if (value instanceof Double && (Double) value == Math.rint((Double) value))
      return String.valueOf(((Double) value).longValue());
    return value instanceof String ? (String) value : Json.write(value);
  }

  /** Runs work of a call on a thread; for coroutines. */
  public static void execute(Runnable work) {
    if (!threads.execute(work)) throw new OutOfMemoryError("no thread for a coroutine");
  }

  private void serve() throws InterruptedException {
    try {
      for (Connection.Frame frame = connection.read(); frame != null; frame = connection.read())
        if (!take(frame)) return;
    } catch (IOException gone) {
      Runtime.getRuntime().halt(0);
    } catch (OutOfMemoryError spent) {
      calls.freeReserve();
      System.err.println(spent);
      Runtime.getRuntime().halt(1);
    }
    Runtime.getRuntime().halt(0);
  }

  /** Acts on a frame; false once no more are to be taken. */
  private boolean take(Connection.Frame frame) throws InterruptedException {
    Map<String, Object> header = Json.parseObject(frame.header);
    switch ((String) header.get("type")) {
      case "request":
        begin(header, frame.body);
        break;
      case "cancel":
        Call call = calls.get(((Double) header.get("id")).intValue());
        if (call != null) call.cancel();
        break;
      case "load":
        threads.execute(
            new Runnable() {
              @Override
              public void run() {
                entry.preload();
              }
            });
        break;
      case "stop":
        calls.drain();
        connection.drain();
        System.exit(0);
        return false;
      default:
        break;
    }
    return true;
  }

  private void begin(Map<String, Object> header, byte[] body) {
    Call call = new Call(calls, connection, header, body);
    calls.add(call);
    // Returned to the server, because not one thread could be started.
    if (!threads.execute(new Run(call))) call.decline();
  }

  /** A call on its thread. */
  private final class Run implements Runnable {
    private final Call call;
    private Thread thread;

    Run(Call call) {
      this.call = call;
    }

    @Override
    public void run() {
      thread = Thread.currentThread();
      Printer.CURRENT.set(call);
      call.onCancel(
          new Runnable() {
            @Override
            public void run() {
              interrupt();
            }
          });
      try {
        Object result = entry.handler(call).call(call);
        if (result != Family.PENDING) call.finish(result);
      } catch (Entry.LoadFailure failure) {
        call.write("errors", failure.getMessage());
        call.fail(503, "");
      } catch (Throwable error) {
        call.finish(error);
      } finally {
        Printer.CURRENT.remove();
        end();
        call.endTurn();
      }
    }

    private synchronized void interrupt() {
      if (thread != null) thread.interrupt();
    }

    private synchronized void end() {
      thread = null;
      Thread.interrupted();
    }
  }
}
