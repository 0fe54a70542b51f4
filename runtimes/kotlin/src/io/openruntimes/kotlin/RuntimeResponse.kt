package io.openruntimes.kotlin

import minifn.Codec
import minifn.Output

/** Makes responses, `context.res`; only what the handler returns counts. */
class RuntimeResponse {
    @JvmOverloads
    fun binary(
        bytes: ByteArray,
        statusCode: Int = 200,
        headers: Map<String, String> = emptyMap(),
    ) = RuntimeOutput(bytes, statusCode, headers)

    @JvmOverloads
    fun text(
        body: String,
        statusCode: Int = 200,
        headers: Map<String, String> = emptyMap(),
    ) = binary(body.toByteArray(), statusCode, headers)

    /** The same as [text]. */
    @JvmOverloads
    fun send(
        body: String,
        statusCode: Int = 200,
        headers: Map<String, String> = emptyMap(),
    ) = text(body, statusCode, headers)

    @JvmOverloads
    fun json(
        json: Map<String, Any?>,
        statusCode: Int = 200,
        headers: Map<String, String> = emptyMap(),
    ) = text(
        Codec.write(json),
        statusCode,
        Output.withHeader(headers, "content-type", "application/json"),
    )

    fun empty() = text("", 204)

    @JvmOverloads
    fun redirect(
        url: String,
        statusCode: Int = 301,
        headers: Map<String, String> = emptyMap(),
    ) = text("", statusCode, Output.withHeader(headers, "location", url))
}
