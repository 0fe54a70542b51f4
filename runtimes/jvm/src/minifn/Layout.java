package minifn;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Where a build puts its classes, and where it finds sources and jars. */
final class Layout {
  /** The folder of compiled classes in the code; toURI of a folder ends with a slash. */
  static final String CLASSES = ".minifn/classes";

  /** Gradle's own program, which projects have among their files. */
  private static final String GRADLE = "gradle-wrapper.jar";

  private Layout() {}

  /** Returns the name of the class that the path of an entrypoint stands for, in a package. */
  static String className(String parent, String entrypoint, String suffix) {
    int start = entrypoint.startsWith("./") ? 2 : 0;
    int end = entrypoint.length() - (entrypoint.endsWith(suffix) ? suffix.length() : 0);
    return parent + "." + entrypoint.substring(start, end).replace('/', '.');
  }

  /** Returns the compiled classes and the jars that a function loads. */
  static URL[] classPath(File code) throws MalformedURLException {
    List<URL> path = new ArrayList<>();
    path.add(new File(code, CLASSES).toURI().toURL());
    for (File jar : jars(code)) path.add(jar.toURI().toURL());
    return path.toArray(new URL[0]);
  }

  /** Returns the function's jars, in order of their paths. */
  static List<File> jars(File code) {
    List<File> found = new ArrayList<>();
    find(code, ".jar", found);
    return found;
  }

  /** Adds the files below a folder whose names end so, but hidden ones and linked folders. */
  static void find(File folder, String suffix, List<File> found) {
    File[] files = folder.listFiles();
    if (files == null) return;
    Arrays.sort(files);
    for (File file : files) {
      if (file.getName().startsWith(".") || file.getName().equals(GRADLE)) continue;
      if (!file.isDirectory()) {
        if (file.getName().endsWith(suffix)) found.add(file);
      } else if (!Files.isSymbolicLink(file.toPath())) {
        find(file, suffix, found);
      }
    }
  }
}
