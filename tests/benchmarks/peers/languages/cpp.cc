// Sockets of the system, a thread for each connection: C++ has no HTTP server of its own.
#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

static const std::string answer =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nPong";

static void serve(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::string received;
  char buffer[4096];
  for (ssize_t size; (size = read(socket, buffer, sizeof buffer)) > 0;) {
    received.append(buffer, size);
    for (size_t end; (end = received.find("\r\n\r\n")) != std::string::npos;) {
      received.erase(0, end + 4);
      if (write(socket, answer.data(), answer.size()) < 0)
        break;
    }
  }
  close(socket);
}

int main(int, char **arguments) {
  signal(SIGPIPE, SIG_IGN);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(std::atoi(arguments[1]));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) || listen(listener, 128))
    return 1;
  for (;;)
    std::thread(serve, accept(listener, nullptr, nullptr)).detach();
}
