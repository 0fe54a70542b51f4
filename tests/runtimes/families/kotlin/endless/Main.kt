package io.openruntimes.kotlin

class Main {
    companion object {
        init {
            while (true) Thread.onSpinWait()
        }
    }

    fun main(context: RuntimeContext): RuntimeOutput = context.res.empty()
}
