package io.openruntimes.kotlin

import minifn.Output

/** The result of a handler, which describes a response. */
class RuntimeOutput(body: ByteArray, statusCode: Int, headers: Map<String, String>) :
    Output(body, statusCode, headers)
