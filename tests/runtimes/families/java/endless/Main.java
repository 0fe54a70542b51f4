package io.openruntimes.java;

public class Main {
  static {
    while (System.nanoTime() != 0) Thread.onSpinWait();
  }

  public RuntimeOutput main(RuntimeContext context) {
    return context.getRes().empty();
  }
}
