package minifn;

/** The logger of a call, the base of each family's {@code RuntimeContext}. */
public abstract class Context {
  private final Call call;

  protected Context(Call call) {
    this.call = call;
  }

  /** Writes a line to the logs; values are joined by a space. */
  public void log(Object... messages) {
    call.log("logs", messages);
  }

  /** Writes a line to the errors; values are joined by a space. */
  public void error(Object... messages) {
    call.log("errors", messages);
  }
}
