package io.openruntimes.java;

import notthereatall.Anything;

public class Main {
  public RuntimeOutput main(RuntimeContext context) {
    return context.getRes().text(Anything.TEXT);
  }
}
