package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput

/** A function to begin from: `/ping` answers `Pong`, any other path with what was asked. */
class Main {
    fun main(context: RuntimeContext): RuntimeOutput {
        val req = context.req
        if (req.path == "/ping") {
            return context.res.text("Pong")
        }
        context.log("asked for", req.path)
        return context.res.json(
            mapOf("message" to "It works. Now change it.", "method" to req.method, "path" to req.path),
        )
    }
}
