package io.openruntimes.kotlin

class Main {
    fun main(context: RuntimeContext): RuntimeOutput = context.res.text(sibling())
}
