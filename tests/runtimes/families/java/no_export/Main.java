package io.openruntimes.java;

public class Main {
  public RuntimeOutput other(RuntimeContext context) {
    return context.getRes().empty();
  }
}
