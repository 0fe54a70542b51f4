package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput

/** The handler of one path. */
typealias Route = suspend (RuntimeContext) -> RuntimeOutput

/** Gives a handler its type. */
fun route(handler: Route): Route = handler

private val ROUTES: Map<String, Route> = answers + failures + logs + requests

class Main {
    suspend fun main(context: RuntimeContext): RuntimeOutput {
        if (context.req.path == "/raise") {
            context.log("called")
            throw IllegalStateException("went wrong")
        }
        return (ROUTES[context.req.path] ?: route { mirror(it) })(context)
    }
}
