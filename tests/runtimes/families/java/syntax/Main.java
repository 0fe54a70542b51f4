package io.openruntimes.java;

public class Main {
  public RuntimeOutput main(RuntimeContext context {
    return context.getRes().empty();
  }
}
