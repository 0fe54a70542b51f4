package io.openruntimes.kotlin

import notthereatall.anything

class Main {
    fun main(context: RuntimeContext): RuntimeOutput = context.res.text(anything())
}
