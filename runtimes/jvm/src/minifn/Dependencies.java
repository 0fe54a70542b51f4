package minifn;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The dependencies that Gradle files beside the code name. Upstream builds with Gradle, which
 * fetches them from Maven's repositories; this build can only use jars that it finds.
 */
final class Dependencies {
  private static final List<String> SUFFIXES = Arrays.asList(".gradle", ".gradle.kts");
  private static final Pattern DEPENDENCY =
      Pattern.compile(
          "^\\s*(?:implementation|api|runtimeOnly|compileOnly|compile|annotationProcessor|kapt)\\b"
              + "[^\"'\\n]*[\"']([\\w.-]+:[\\w.-]+)(?::[^\"'\\n]*)?[\"']",
          Pattern.MULTILINE);
  /** Names, as group and module, of what the wrapper brings. */
  private static final Pattern BUNDLED =
      Pattern.compile(
          "com\\.google\\.code\\.gson:gson|org\\.jetbrains\\.kotlin:kotlin-stdlib.*"
              + "|org\\.jetbrains\\.kotlinx:kotlinx-coroutines-core(-jvm)?");

  private final File code;

  Dependencies(File code) {
    this.code = code;
  }

  /** Prints what cannot be fetched; false when no jar of the code can stand for it. */
  boolean check(boolean jars) throws IOException {
    Set<String> names = names();
    if (names.isEmpty()) return true;
    System.out.println(
        (jars ? "Note: " : "error: ")
            + String.join(", ", names)
            + " cannot be fetched: minifn does not run Gradle. Jars anywhere in the code are on the"
            + " class path; put them there, or have the build commands fetch them.");
    return jars;
  }

  private Set<String> names() throws IOException {
    Set<String> names = new TreeSet<>();
    File[] files = code.listFiles();
    if (files == null) return names;
    for (File file : files) {
      if (!file.isFile() || !isGradle(file.getName())) continue;
      String text = new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
      Matcher matcher = DEPENDENCY.matcher(text);
      while (matcher.find())
        if (!BUNDLED.matcher(matcher.group(1)).matches()) names.add(matcher.group(1));
    }
    return names;
  }

  private static boolean isGradle(String name) {
    for (String suffix : SUFFIXES) if (name.endsWith(suffix)) return true;
    return false;
  }
}
