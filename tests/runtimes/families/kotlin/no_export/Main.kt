package io.openruntimes.kotlin

class Main {
    fun other(context: RuntimeContext): RuntimeOutput = context.res.empty()
}
