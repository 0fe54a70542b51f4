package minifn

import io.openruntimes.kotlin.RuntimeContext
import java.lang.reflect.Constructor
import java.lang.reflect.Method
import java.util.concurrent.Executor
import kotlin.coroutines.Continuation
import kotlin.coroutines.intrinsics.suspendCoroutineUninterceptedOrReturn
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.asContextElement
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.launch

/** A handler that may suspend: it holds a thread only while it runs. */
internal class Suspending(
    private val constructor: Constructor<*>,
    private val main: Method,
) : Family.Handler {
    private val dispatcher = Executor(Server::execute).asCoroutineDispatcher()

    override fun call(call: Call): Any {
        val context = RuntimeContext(call)
        val instance = unwrapped { constructor.newInstance() }
        // Printed lines follow the coroutine from thread to thread.
        val scope = CoroutineScope(dispatcher + Printer.CURRENT.asContextElement(call))
        val job = scope.launch(start = CoroutineStart.UNDISPATCHED) {
            try {
                val result = suspendCoroutineUninterceptedOrReturn<Any?> { continuation ->
                    unwrapped { main.invoke(instance, context, continuation as Continuation<*>) }
                }
                call.finish(result)
            } catch (error: Throwable) {
                call.finish(error)
            }
        }
        call.onCancel(job::cancel)
        return Family.PENDING
    }
}
