package io.openruntimes.kotlin

class Main {
    companion object {
        private val database = connect()

        private fun connect(): String {
            println("loading")
            error("no database")
        }
    }

    fun main(context: RuntimeContext): RuntimeOutput = context.res.text(database)
}
