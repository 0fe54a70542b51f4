package io.openruntimes.kotlin

import minifn.Output

/** What a handler returns: a description of the response. */
class RuntimeOutput(body: ByteArray, statusCode: Int, headers: Map<String, String>) :
    Output(body, statusCode, headers)
