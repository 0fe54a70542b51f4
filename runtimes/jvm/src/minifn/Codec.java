package minifn;

import java.util.Map;

/** JSON for functions: Gson's where the class path has it, as upstream, else our own. */
public abstract class Codec {
  private static final class Chosen {
    static final Codec CODEC = choose();

    private static Codec choose() {
      try {
        return (Codec) Class.forName("minifn.GsonCodec").getDeclaredConstructor().newInstance();
      } catch (ReflectiveOperationException | LinkageError absent) {
        return new Own();
      }
    }
  }

  private static final class Own extends Codec {
    @Override
    protected Map<String, Object> read(String text) {
      return Json.parseObject(text);
    }

    @Override
    protected String text(Object value) {
      return Json.write(value);
    }
  }

  protected abstract Map<String, Object> read(String text);

  protected abstract String text(Object value);

  /** Returns the members of a JSON object, numbers as doubles. Throws for anything else. */
  public static Map<String, Object> parseObject(String text) {
    if (text.isBlank()) throw new Json.Invalid("JSON: the body is empty");
    return Chosen.CODEC.read(text);
  }

  /** Returns a value as compact JSON. */
  public static String write(Object value) {
    return Chosen.CODEC.text(value);
  }
}
