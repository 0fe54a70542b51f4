package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput

private const val MIB = 1024 * 1024

val answers = mapOf(
    "/text" to route { it.res.text("héllo") },
    "/text-201" to route { it.res.text("made", 201, mapOf("X-Kept" to "yes")) },
    "/json" to route {
        it.res.json(
            mapOf("text" to "é", "list" to listOf("a", null, true), "empty" to emptyList<String>()),
            statusCode = 201,
            headers = mapOf("Content-Type" to "text/html"),
        )
    },
    "/binary" to route { it.res.binary(ByteArray(256) { at -> at.toByte() }) },
    "/empty" to route { it.res.empty() },
    "/send" to route { it.res.send("sent", 203) },
    "/redirect" to route { it.res.redirect("https://example.com/a?b=c") },
    "/redirect-302" to route { it.res.redirect("/there", 302, mapOf("x-why" to "moved")) },
    "/html" to route { it.res.text("<p>", headers = mapOf("Content-Type" to "Text/HTML")) },
    "/charset" to route {
        it.res.text("x", headers = mapOf("content-type" to "text/html; charset=ISO-8859-1"))
    },
    "/multipart" to route {
        it.res.text("x", headers = mapOf("content-type" to "multipart/form-data; boundary=AbC"))
    },
    "/hidden" to route {
        it.res.text("x", headers = mapOf("X-Open-Runtimes-Secret" to "1", "x-seen" to "2"))
    },
    "/injection" to route {
        it.res.text("x", headers = mapOf("x-bad" to "a\r\nx-evil: 1", "x-good" to "1"))
    },
    "/handmade" to route { RuntimeOutput("made".toByteArray(), 202, emptyMap()) },
    "/not-modified" to route { it.res.text("dropped", 304) },
    "/twice" to route {
        it.res.text("first")
        it.res.text("second")
    },
    "/status-99" to route { it.res.text("x", 99) },
    "/large" to route { it.res.binary(ByteArray(20 * MIB)) },
    "/too-large" to route { it.res.binary(ByteArray(20 * MIB + 1)) },
    "/many-headers" to route { manyHeaders(it) },
)

private fun manyHeaders(context: RuntimeContext): RuntimeOutput {
    val (count, length) = context.req.queryString.split(",").map(String::toInt)
    return context.res.text("x", headers = (0 until count).associate { "x-$it" to "\"".repeat(length) })
}
