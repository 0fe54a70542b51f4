package io.openruntimes.kotlin

import minifn.Call
import minifn.Request

/** The request, `context.req`. */
class RuntimeRequest(call: Call) : Request(call)
