package io.openruntimes.kotlin.src;

/** Java beside Kotlin. */
final class Beside {
  private Beside() {}

  static String text() {
    return "beside";
  }
}
