package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput
import java.io.FileDescriptor
import java.io.FileOutputStream
import java.util.concurrent.atomic.AtomicInteger
import kotlin.system.exitProcess
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay

private const val MIB = 1024 * 1024
private val worker = System.nanoTime().toString()
private val calls = AtomicInteger()

val failures = mapOf(
    "/state" to route { it.res.json(mapOf("calls" to calls.incrementAndGet(), "worker" to worker)) },
    "/exit" to route { exit(it) },
    "/overflow" to route { it.res.text(overflow(1).toString()) },
    "/memory" to route {
        val kept = mutableListOf<ByteArray>()
        while (true) kept += ByteArray(MIB)
        it.res.empty()
    },
    "/sleep" to route { sleep(it) },
    "/never" to route {
        it.log("begun")
        awaitCancellation()
    },
    "/spin" to route { spin(it) },
    "/echo" to route { echo(it) },
)

private fun exit(context: RuntimeContext): RuntimeOutput {
    context.log("called")
    // Not closed: that would close standard error.
    FileOutputStream(FileDescriptor.err).write("last words\n".toByteArray())
    exitProcess(7)
}

private fun overflow(depth: Int): Int = overflow(depth + 1) + 1

private suspend fun sleep(context: RuntimeContext): RuntimeOutput {
    context.log("begun")
    delay((1000 * context.req.queryString.toDouble()).toLong())
    return context.res.text(worker)
}

private fun spin(context: RuntimeContext): RuntimeOutput {
    context.log("begun")
    while (true) Thread.onSpinWait()
}

private suspend fun echo(context: RuntimeContext): RuntimeOutput {
    val body = context.req.bodyText
    context.log("first", body)
    context.error("error", body)
    delay(context.req.queryString.toLong())
    context.log("second", body)
    return context.res.text(body)
}
