package io.openruntimes.java;

public class Main {
  private static int calls;

  static {
    System.out.println("loaded");
  }

  public RuntimeOutput main(RuntimeContext context) {
    calls += 1;
    return context.getRes().text(String.valueOf(calls));
  }
}
