package minifn;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.tools.ToolProvider;

/**
 * Compiles a function, in the working directory. Arguments: the name of the {@link Family}, the
 * folder of the wrapper's jars, and the entrypoint. Ends with code 1 and the compiler's message
 * when the source is wrong.
 */
public final class Compile {
  private static final String[] SOURCES = {".java", ".kt"};

  private final Family family;
  private final String entrypoint;
  private final String classPath;

  private Compile(Family family, String entrypoint, String classPath) {
    this.family = family;
    this.entrypoint = entrypoint;
    this.classPath = classPath;
  }

  public static void main(String[] arguments) throws Exception {
    Family family = (Family) Class.forName(arguments[0]).getDeclaredConstructor().newInstance();
    List<File> jars = Layout.jars(new File(arguments[1]));
    List<File> own = Layout.jars(new File("."));
    jars.addAll(own);
    List<String> paths = new ArrayList<>();
    for (File jar : jars) paths.add(jar.getPath());
    Compile compile = new Compile(family, arguments[2], String.join(File.pathSeparator, paths));
    boolean right = new Dependencies(new File(".")).check(!own.isEmpty()) && compile.run();
    System.out.flush();
    System.exit(right ? 0 : 1);
  }

  private boolean run() throws Exception {
    if (!new File(entrypoint).isFile())
      return refuse("the deployment has no such file, which is its entrypoint.");
    File classes = new File(Layout.CLASSES);
    remove(classes);
    Files.createDirectories(classes.toPath());
    return family.compile(this) && hasHandler() && removeSources();
  }

  /** Tells whether the compiled entrypoint has a handler, without running it; prints it if not. */
  private boolean hasHandler() throws Exception {
    String name = family.className(entrypoint);
    try (URLClassLoader loader =
        new URLClassLoader(Layout.classPath(new File(".")), Compile.class.getClassLoader())) {
      family.find(Class.forName(name, false, loader));
    } catch (ClassNotFoundException absent) {
      return refuse("it must define the class " + name + ", by its package and its name.");
    } catch (NoSuchMethodException absent) {
      return refuse(Entry.NO_HANDLER);
    } catch (LinkageError unknown) {
      // A class of the machine that runs it may be missing here.
      return true;
    }
    return true;
  }

  private boolean refuse(String reason) {
    System.out.println(entrypoint + ": error: " + reason);
    return false;
  }

  /** Removes what workers do not need; files of other kinds may be the function's data. */
  private boolean removeSources() throws IOException {
    for (String suffix : SOURCES)
      for (String path : sources(suffix)) Files.delete(new File(path).toPath());
    return true;
  }

  private static void remove(File tree) throws IOException {
    File[] files = Files.isSymbolicLink(tree.toPath()) ? null : tree.listFiles();
    if (files != null) for (File file : files) remove(file);
    Files.deleteIfExists(tree.toPath());
  }

  /** Returns the function's source files with a suffix, relative to the code. */
  List<String> sources(String suffix) {
    List<File> files = new ArrayList<>();
    Layout.find(new File("."), suffix, files);
    List<String> paths = new ArrayList<>();
    for (File file : files) paths.add(file.getPath().substring("./".length()));
    return paths;
  }

  /** Returns what function code is compiled against, with {@code more} before it. */
  String classPath(String... more) {
    List<String> paths = new ArrayList<>(Arrays.asList(more));
    paths.add(classPath);
    return String.join(File.pathSeparator, paths);
  }

  /** Compiles the Java sources, if there are any. */
  boolean javac(String... more) {
    List<String> sources = sources(".java");
    if (sources.isEmpty()) return true;
    List<String> arguments =
        new ArrayList<>(Arrays.asList("-g", "-parameters", "-encoding", "UTF-8"));
    arguments.addAll(Arrays.asList("-d", Layout.CLASSES, "-cp", classPath(more)));
    arguments.addAll(sources);
    PrintStream output = System.out;
    String[] array = arguments.toArray(new String[0]);
    return ToolProvider.getSystemJavaCompiler().run(null, output, output, array) == 0;
  }
}
