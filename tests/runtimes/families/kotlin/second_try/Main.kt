package io.openruntimes.kotlin

import java.io.File

class Main {
    companion object {
        init {
            check(!File(System.getenv("TMPDIR"), "tried").createNewFile()) { "not yet" }
        }
    }

    fun main(context: RuntimeContext): RuntimeOutput = context.res.text("now")
}
