package minifn;

import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * The threads of calls: as many as there are calls at once, and those that ended last begin first.
 *
 * <p>When the system gives no further thread, calls wait for one of those that exist.
 */
final class Threads {
  private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(10);

  private final ArrayDeque<Worker> idle = new ArrayDeque<>();
  private final ArrayDeque<Runnable> waiting = new ArrayDeque<>();
  private int running;

  /** Runs work soon. Throws OutOfMemoryError when there is no thread at all for it. */
  void execute(Runnable work) {
    Worker worker;
    synchronized (this) {
      worker = idle.poll();
      if (worker == null) {
        start(work);
        return;
      }
      worker.work = work;
    }
    LockSupport.unpark(worker);
  }

  private void start(Runnable work) {
    Worker worker = new Worker(work);
    running++;
    try {
      worker.start();
    } catch (OutOfMemoryError full) {
      if (--running == 0) throw full;
      waiting.add(work);
    }
  }

  private final class Worker extends Thread {
    /** The next work, set while this thread is idle. */
    private volatile Runnable work;

    Worker(Runnable work) {
      super("call");
      this.work = work;
      setDaemon(true);
    }

    @Override
    public void run() {
      for (Runnable next = work; next != null; next = next()) next.run();
    }

    /** Returns the next work, null when there was none for a while. */
    private Runnable next() {
      synchronized (Threads.this) {
        Runnable next = waiting.poll();
        if (next != null) return next;
        work = null;
        idle.push(this);
      }
      for (long end = System.nanoTime() + IDLE_NANOS; work == null; ) {
        long left = end - System.nanoTime();
        if (left > 0) LockSupport.parkNanos(Threads.this, left);
        else if (leave()) return null;
        // A thread that is interrupted does not park.
        interrupted();
      }
      return work;
    }

    /** Tells whether this idle thread may end: it was given no work at the last moment. */
    private boolean leave() {
      synchronized (Threads.this) {
        if (!idle.remove(this)) return false;
        running--;
        return true;
      }
    }
  }
}
