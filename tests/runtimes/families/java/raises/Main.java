package io.openruntimes.java;

public class Main {
  static {
    System.out.println("loading");
    connect();
  }

  private static void connect() {
    throw new IllegalStateException("no database");
  }

  public RuntimeOutput main(RuntimeContext context) {
    return context.getRes().empty();
  }
}
