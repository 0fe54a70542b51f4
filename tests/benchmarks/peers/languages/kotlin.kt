import com.sun.net.httpserver.HttpServer
import java.net.InetSocketAddress
import java.util.concurrent.Executors

/** The JDK's own HTTP server. */
fun main(arguments: Array<String>) {
    val server = HttpServer.create(InetSocketAddress("127.0.0.1", arguments[0].toInt()), 0)
    server.executor = Executors.newCachedThreadPool()
    server.createContext("/") { exchange ->
        exchange.sendResponseHeaders(200, 4)
        exchange.responseBody.write("Pong".toByteArray())
        exchange.close()
    }
    server.start()
}
