package minifn

import io.openruntimes.kotlin.RuntimeContext
import java.io.PrintStream
import java.lang.reflect.Constructor
import java.lang.reflect.InvocationTargetException
import java.lang.reflect.Method
import kotlin.coroutines.Continuation

private const val COMPILER = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"

/** Kotlin: `[suspend] fun main(context: RuntimeContext): RuntimeOutput` of a new object a call. */
class KotlinFamily : Family {
    override fun className(entrypoint: String): String =
        Layout.className("io.openruntimes.kotlin", entrypoint, ".kt")

    /** Compiles the Kotlin sources, which may use the Java sources beside them, and then those. */
    override fun compile(build: Compile): Boolean {
        val sources = build.sources(".kt")
        if (sources.isEmpty()) return build.javac()
        val compiler = Class.forName(COMPILER)
        val options = listOf(
            "-no-stdlib", "-no-reflect", "-Xdisable-default-scripting-plugin",
            "-java-parameters", "-module-name", "function",
            "-cp", build.classPath(), "-d", Layout.CLASSES,
        )
        val arguments = (options + sources + build.sources(".java")).toTypedArray()
        val exit = compiler.getMethod("exec", PrintStream::class.java, Array<String>::class.java)
            .invoke(compiler.getDeclaredConstructor().newInstance(), System.out, arguments)
        return exit.toString() == "OK" && build.javac(Layout.CLASSES)
    }

    override fun find(type: Class<*>): Method =
        type.declaredMethods.find(::isSuspending)
            ?: type.getDeclaredMethod("main", RuntimeContext::class.java)

    override fun handler(type: Class<*>, main: Method): Family.Handler {
        val constructor = type.getDeclaredConstructor().apply { isAccessible = true }
        main.isAccessible = true
        return if (isSuspending(main)) Suspending(constructor, main) else Plain(constructor, main)
    }

    private fun isSuspending(method: Method): Boolean =
        method.name == "main" &&
            method.parameterTypes.contentEquals(
                arrayOf(RuntimeContext::class.java, Continuation::class.java),
            )

    private class Plain(
        private val constructor: Constructor<*>,
        private val main: Method,
    ) : Family.Handler {
        override fun call(call: Call): Any? = unwrapped {
            main.invoke(constructor.newInstance(), RuntimeContext(call))
        }
    }
}

/** Calls by reflection; errors of the function come as themselves. */
internal inline fun <T> unwrapped(reflected: () -> T): T =
    try {
        reflected()
    } catch (error: InvocationTargetException) {
        throw error.targetException
    }
