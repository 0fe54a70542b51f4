package io.openruntimes.java.src;

final class Beside {
  static final String TEXT = new String("beside");

  private Beside() {}
}
