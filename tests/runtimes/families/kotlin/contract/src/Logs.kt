package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput
import kotlin.concurrent.thread

val logs = mapOf(
    "/log-values" to route {
        it.log("text", 1, listOf(1, mapOf("a" to "b")), true)
        it.error("broken", mapOf("code" to 5))
        it.log()
        it.res.empty()
    },
    "/log-order" to route {
        for (number in 0 until 100) {
            it.log("log", number)
            it.error("error", number)
        }
        it.res.empty()
    },
    "/log-native" to route {
        it.log("before")
        println("printed 1")
        System.err.println("printed 2")
        it.log("after")
        it.res.empty()
    },
    "/native-raise" to route {
        println("printed")
        error("went wrong")
    },
    "/log-long" to route {
        it.log("x".repeat(8000))
        it.log("y".repeat(8001))
        it.res.empty()
    },
    "/log-flood" to route {
        repeat(1400) { _ -> it.log("z".repeat(8000)) }
        it.res.empty()
    },
    "/log-endless" to route {
        while (true) it.log("z".repeat(8000))
        it.res.empty()
    },
    "/log-late" to route { late(it) },
)

private fun late(context: RuntimeContext): RuntimeOutput {
    thread {
        Thread.sleep(20)
        context.log("late")
        println("late")
    }
    return context.res.empty()
}
