package io.openruntimes.kotlin.src

import io.openruntimes.kotlin.RuntimeContext
import io.openruntimes.kotlin.RuntimeOutput
import java.io.File

val requests = mapOf(
    "/body-json" to route { it.res.json(mapOf("parsed" to it.req.bodyJson)) },
    "/body-binary" to route { it.res.binary(it.req.bodyBinary) },
    "/body-text" to route { it.res.text(it.req.bodyText) },
    "/beside" to route { it.res.text(Beside.text()) },
    "/file" to route { it.res.text(File("greeting.txt").readText()) },
    "/environment" to route { it.res.json(System.getenv()) },
    "/shell" to route { shell(it) },
    "/unicode" to route {
        val text = it.req.bodyText + " ñ"
        it.log(text)
        it.error(text)
        it.res.text(text)
    },
)

/** Answers with the request. */
fun mirror(context: RuntimeContext): RuntimeOutput {
    val req = context.req
    return context.res.json(
        mapOf(
            "method" to req.method,
            "scheme" to req.scheme,
            "host" to req.host,
            "port" to req.port,
            "path" to req.path,
            "queryString" to req.queryString,
            "query" to req.query,
            "url" to req.url,
            "headers" to req.headers,
            "bodyText" to req.bodyText,
            "body" to req.body,
        ),
    )
}

private fun shell(context: RuntimeContext): RuntimeOutput {
    val shell = ProcessBuilder("/bin/sh", "-c", context.req.bodyText)
        .redirectInput(File("/dev/null"))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    val output = shell.inputStream.readBytes()
    shell.waitFor()
    return context.res.binary(output)
}
