package minifn;

import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * The threads of calls.
 *
 * <p>Short calls take turns on one thread for each core, and what a thread sends in its turns
 * leaves together. A call that takes longer than {@link #SHORT_NANOS} counts as one that waits: it
 * keeps its thread, and further calls get others. When the system gives no further thread, calls
 * wait for one of those that exist.
 */
final class Threads implements Runnable {
  private static final long SHORT_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
  private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final int cores = Runtime.getRuntime().availableProcessors();
  private final Connection connection;
  private final Set<Worker> busy = new HashSet<>();
  /** The last to become idle is the first to be used. */
  private final ArrayDeque<Worker> idle = new ArrayDeque<>();

  private final ArrayDeque<Runnable> waiting = new ArrayDeque<>();
  /** Number of ended works, and whether some of them have left frames to be written. */
  private long ended;

  private boolean unwritten;
  private int stalled;
  /** Whether {@link #run} waits for a reason to act. */
  private boolean resting;

  Threads(Connection connection) {
    this.connection = connection;
  }

  /** Runs work soon; false when there is no thread at all for it. */
  synchronized boolean execute(Runnable work) {
    if (!waiting.isEmpty() || shortNow() >= cores) {
      waiting.add(work);
      if (resting) notifyAll();
      return true;
    }
    if (begin(work)) return true;
    if (busy.isEmpty()) return false;
    waiting.add(work);
    if (resting) notifyAll();
    return true;
  }

  /** Returns how many threads run works that began just now. */
  private int shortNow() {
    int count = 0;
    long early = System.nanoTime() - SHORT_NANOS;
    for (Worker worker : busy) if (worker.began > early) count++;
    return count;
  }

  /** Gives work to an idle or a new thread; false when the system gives none. */
  private boolean begin(Runnable work) {
    Worker worker = idle.poll();
    if (worker != null) {
      busy.add(worker);
      worker.began = System.nanoTime();
      worker.work = work;
      LockSupport.unpark(worker);
      return true;
    }
    worker = new Worker(work);
    try {
      worker.start();
    } catch (OutOfMemoryError full) {
      return false;
    }
    busy.add(worker);
    return true;
  }

  /** Gives threads to works that wait behind long ones, and writes what those left, for ever. */
  @Override
  public void run() {
    for (; ; ) {
      try {
        relieve();
      } catch (InterruptedException ignored) {
        // Functions may interrupt any thread they find; this one goes on.
        continue;
      }
      connection.flush();
    }
  }

  private synchronized void relieve() throws InterruptedException {
    resting = true;
    while (waiting.isEmpty() && !unwritten) wait();
    resting = false;
    long before = ended;
    TimeUnit.NANOSECONDS.timedWait(this, SHORT_NANOS);
    unwritten = false;
    // As long as not one ends, twice as many get a thread each time.
    stalled = ended == before ? Math.max(1, 2 * stalled) : 0;
    int wanted = Math.max(stalled, cores - shortNow());
    while (wanted-- > 0 && !waiting.isEmpty()) {
      if (!begin(waiting.peek())) return;
      waiting.remove();
    }
  }

  /** Returns the next work of a thread that has ended one, null when it is to wait for one. */
  private Runnable next(Worker worker) {
    boolean last;
    Runnable next;
    synchronized (this) {
      ended++;
      next = waiting.poll();
      last = next == null;
      if (last) {
        busy.remove(worker);
        worker.work = null;
        idle.push(worker);
      } else {
        unwritten = true;
        worker.began = System.nanoTime();
      }
    }
    if (last) connection.flush();
    return next;
  }

  /** Tells whether an idle thread may end: it was given no work at the last moment. */
  private synchronized boolean leave(Worker worker) {
    return idle.remove(worker);
  }

  private final class Worker extends Thread {
    /** The next work, set while this thread is idle. */
    private volatile Runnable work;

    private volatile long began = System.nanoTime();

    Worker(Runnable work) {
      super("call");
      this.work = work;
      setDaemon(true);
    }

    @Override
    public void run() {
      for (Runnable now = work; now != null; now = await()) {
        while (now != null) {
          Entry.enter();
          now.run();
          now = next(this);
        }
      }
    }

    /** Returns work that this idle thread is given, null when it was given none for a while. */
    private Runnable await() {
      for (long end = System.nanoTime() + IDLE_NANOS; work == null; ) {
        long left = end - System.nanoTime();
        if (left > 0) LockSupport.parkNanos(Threads.this, left);
        else if (leave(this)) return null;
        // A thread that is interrupted does not park.
        interrupted();
      }
      return work;
    }
  }
}
