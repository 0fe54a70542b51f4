package io.openruntimes.kotlin

import minifn.Call
import minifn.Context

/** The argument of a handler. */
class RuntimeContext(call: Call) : Context(call) {
    val req = RuntimeRequest(call)
    val res = RuntimeResponse()
}
