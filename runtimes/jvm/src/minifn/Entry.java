package minifn;

import java.io.File;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The function's entry class, loaded at the first call or before. */
final class Entry {
  static final String NO_HANDLER =
      "Function signature invalid. Did you forget to export a 'main' function?";

  /** Loads the function's classes, also those that libraries look for by name. */
  private static volatile ClassLoader loader = Entry.class.getClassLoader();

  /** The function could not be loaded; the message is for its author. */
  static final class LoadFailure extends Exception {
    private static final long serialVersionUID = 1;

    LoadFailure(String message) {
      super(message, null, false, false);
    }
  }

  /** Takes what loading prints ahead of the first call. */
  private final class Loading extends Printer {
    private volatile boolean ended;

    @Override
    void printed(String line) {
      if (!ended) lines.add(line);
    }

    @Override
    boolean ended() {
      return ended;
    }
  }

  private final Family family;
  private final File code;
  private final String entrypoint;
  private final List<String> lines = Collections.synchronizedList(new ArrayList<>());
  private Family.Handler handler;
  /** Whether there is a handler, and a call has taken what loading printed. */
  private volatile boolean ready;

  Entry(Family family, File code, String entrypoint) {
    this.family = family;
    this.code = code;
    this.entrypoint = entrypoint;
  }

  /**
   * Returns the handler for a call, which takes what was printed before. After a failure the next
   * call tries again, with the same explanation. Throws LoadFailure.
   */
  Family.Handler handler(Call call) throws LoadFailure {
    if (ready) return handler;
    synchronized (this) {
      for (String line : lines) call.printed(line);
      lines.clear();
      if (handler == null) handler = load();
      ready = true;
      return handler;
    }
  }

  /** Loads the function ahead of the first call, which reports a failure. */
  synchronized void preload() {
    if (handler != null) return;
    Loading loading = new Loading();
    Printer.CURRENT.set(loading);
    try {
      handler = load();
    } catch (LoadFailure failure) {
      handler = null;
    }
    Printer.CURRENT.remove();
    loading.endPrinting();
    loading.ended = true;
    // The next call meets a failure again, and what it prints.
    if (handler == null) lines.clear();
  }

  /** Lets libraries find the function's classes from the current thread. */
  static void enter() {
    Thread.currentThread().setContextClassLoader(loader);
  }

  private Family.Handler load() throws LoadFailure {
    String name = family.className(entrypoint);
    Class<?> type;
    try {
      // A new loader for each attempt: a class whose initializer failed stays failed in its own.
      loader = new URLClassLoader(Layout.classPath(code), Entry.class.getClassLoader());
      enter();
      type = Class.forName(name, false, loader);
    } catch (ClassNotFoundException absent) {
      throw new LoadFailure(
          "Failed to load entrypoint, file " + entrypoint + " does not exist.");
    } catch (Throwable error) {
      throw failed(error);
    }
    try {
      Class.forName(name, true, type.getClassLoader());
      return family.handler(type, family.find(type));
    } catch (NoSuchMethodException absent) {
      throw new LoadFailure(NO_HANDLER);
    } catch (Throwable error) {
      throw failed(error);
    }
  }

  private static LoadFailure failed(Throwable error) {
    boolean wrapped =
        error instanceof ExceptionInInitializerError
            || error instanceof java.lang.reflect.InvocationTargetException;
    Throwable cause = wrapped && error.getCause() != null ? error.getCause() : error;
    return new LoadFailure("Failed to load module: " + Text.trace(cause));
  }
}
