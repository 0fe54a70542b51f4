# frozen_string_literal: true

# Ruby's own sockets, a thread for each connection: Ruby has no HTTP server of its own since 3.0.
require 'socket'

server = TCPServer.new('127.0.0.1', Integer(ARGV[0]))
loop do
  Thread.new(server.accept) do |socket|
    socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    while socket.gets("\r\n\r\n")
      socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nPong")
    end
  end
end
