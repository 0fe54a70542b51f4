package minifn;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Reads texts, one in base64 a line, and writes two lines for each: what minifn's own JSON makes of
 * it, and what Gson does; both read it and write it again, in base64. `-` stands for a refused text.
 */
final class JsonCheck {
  private JsonCheck() {}

  public static void main(String[] arguments) throws IOException {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    Codec gson = new GsonCodec();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String text = new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8);
      System.out.println(own(text));
      System.out.println(other(gson, text));
      System.out.flush();
    }
  }

  private static String own(String text) {
    try {
      return encoded(Json.write(Json.parse(text)));
    } catch (Json.Invalid refused) {
      return "-";
    }
  }

  private static String other(Codec gson, String text) {
    try {
      return encoded(gson.text(gson.read(text)));
    } catch (RuntimeException refused) {
      return "-";
    }
  }

  private static String encoded(String json) {
    return Base64.getEncoder().encodeToString(json.getBytes(StandardCharsets.UTF_8));
  }
}
