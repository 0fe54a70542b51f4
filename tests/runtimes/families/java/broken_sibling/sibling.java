package io.openruntimes.java;

class Sibling {
  static final String TEXT = "unfinished;
}
