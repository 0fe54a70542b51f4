package minifn;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The calls in flight and their deadlines. */
final class Calls implements Runnable {
  private static final long NEVER = Long.MAX_VALUE;
  private static final long NANOS_PER_MILLISECOND = 1_000_000;
  private static final int RESERVE_BYTES = 512 * 1024;

  /** Headers that every request gets. */
  final Map<String, String> enforcedHeaders;

  private final Map<Integer, Call> inFlight = new HashMap<>();
  /** When {@link #run} looks for late calls; later than the end of most of them. */
  private long nextLook = NEVER;

  private boolean stopping;
  /** Memory for the last words of a function that has used up all. */
  private byte[] reserve = new byte[RESERVE_BYTES];

  Calls(Map<String, String> enforcedHeaders) {
    this.enforcedHeaders = enforcedHeaders;
  }

  synchronized void add(Call call) {
    inFlight.put(call.id, call);
    if (call.due < nextLook) {
      nextLook = call.due;
      notifyAll();
    }
  }

  synchronized void remove(Call call) {
    inFlight.remove(call.id);
    if (stopping) notifyAll();
  }

  synchronized Call get(int id) {
    return inFlight.get(id);
  }

  /** Returns the call for output of an unknown thread: the only one, else null. */
  synchronized Call only() {
    return inFlight.size() == 1 ? inFlight.values().iterator().next() : null;
  }

  void freeReserve() {
    reserve = null;
  }

  /** Waits until no call is in flight. */
  synchronized void drain() throws InterruptedException {
    stopping = true;
    while (!inFlight.isEmpty()) wait();
  }

  /** Answers for calls that miss their deadline, for ever. */
  @Override
  public void run() {
    for (; ; ) {
      for (Call late : takeLate()) late.timeOut();
    }
  }

  private synchronized List<Call> takeLate() {
    List<Call> late = new ArrayList<>();
    while (late.isEmpty()) {
      long now = System.nanoTime();
      if (now >= nextLook) {
        nextLook = NEVER;
        for (Call call : inFlight.values())
          if (call.due <= now) late.add(call);
          else nextLook = Math.min(nextLook, call.due);
        if (!late.isEmpty()) break;
      }
      try {
        // Rounded up, because 0 would be for ever.
        if (nextLook == NEVER) wait();
        else wait(Math.max(0, nextLook - now) / NANOS_PER_MILLISECOND + 1);
      } catch (InterruptedException ignored) {
        // Functions may interrupt any thread they find; this one goes on.
        continue;
      }
    }
    return late;
  }
}
