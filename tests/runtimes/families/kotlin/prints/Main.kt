package io.openruntimes.kotlin

class Main {
    companion object {
        private var calls = 0

        init {
            println("loaded")
        }
    }

    fun main(context: RuntimeContext): RuntimeOutput {
        calls += 1
        return context.res.text(calls.toString())
    }
}
