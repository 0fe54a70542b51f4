package minifn;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.reflect.TypeToken;
import java.lang.reflect.Type;
import java.util.Map;

/** Gson, in the settings of Open Runtimes; only compiled where the machine has it. */
final class GsonCodec extends Codec {
  private static final Type OBJECT = new TypeToken<Map<String, Object>>() {}.getType();

  private final Gson gson = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

  GsonCodec() {}

  @Override
  protected Map<String, Object> read(String text) {
    return gson.fromJson(text, OBJECT);
  }

  @Override
  protected String text(Object value) {
    return gson.toJson(value);
  }
}
