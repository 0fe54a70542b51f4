package minifn;

import java.lang.reflect.Method;

/** A language of this server: how its sources are compiled, and its handlers found and called. */
public interface Family {
  /** The result of {@link Handler#call} for a call that answers later. */
  Object PENDING = new Object();

  /** The function: takes a call and returns its Output, or PENDING. */
  interface Handler {
    Object call(Call call) throws Throwable;
  }

  /** Returns the name of the class that an entrypoint defines. */
  String className(String entrypoint);

  /** Compiles the function's sources; false when they are wrong. */
  boolean compile(Compile build) throws Exception;

  /** Returns the handler's method. Throws NoSuchMethodException when the class has none. */
  Method find(Class<?> type) throws NoSuchMethodException;

  /** Returns the handler of a class that find has given. */
  Handler handler(Class<?> type, Method main) throws Throwable;
}
