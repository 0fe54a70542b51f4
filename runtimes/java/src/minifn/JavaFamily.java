package minifn;

import io.openruntimes.java.RuntimeContext;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** Java: {@code public RuntimeOutput main(RuntimeContext context)} of one object of the class. */
public final class JavaFamily implements Family {
  @Override
  public String className(String entrypoint) {
    return Layout.className("io.openruntimes.java", entrypoint, ".java");
  }

  @Override
  public boolean compile(Compile build) {
    return build.javac();
  }

  @Override
  public Method find(Class<?> type) throws NoSuchMethodException {
    return type.getDeclaredMethod("main", RuntimeContext.class);
  }

  @Override
  public Handler handler(Class<?> type, final Method main) throws Throwable {
    main.setAccessible(true);
    Constructor<?> constructor = type.getDeclaredConstructor();
    constructor.setAccessible(true);
    final Object instance = constructor.newInstance();
    return new Handler() {
      @Override
      public Object call(Call call) throws Throwable {
        try {
          return main.invoke(instance, new RuntimeContext(call));
        } catch (InvocationTargetException error) {
          throw error.getCause();
        }
      }
    };
  }
}
