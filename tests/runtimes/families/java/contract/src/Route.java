package io.openruntimes.java.src;

import io.openruntimes.java.RuntimeContext;
import io.openruntimes.java.RuntimeOutput;

/** The handler of one path. */
interface Route {
  RuntimeOutput handle(RuntimeContext context) throws Exception;
}
