"""A closed-loop HTTP load generator: each keep-alive connection sends once its last was answered.

It runs in its own process (`python -I -S load.py`, standard library only): the job is JSON on
stdin, the result JSON on stdout.
"""

import json
import select
import socket
import sys
import time


class Connection:
    """One keep-alive connection that sends the same bytes repeatedly."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self._address = address
        self._request = request
        self._received = b""
        self.sent_at = 0.0
        self.open()

    def open(self) -> None:
        """Connect, in place of a connection that the server has closed."""
        self.socket = socket.create_connection(self._address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        """Send the next request."""
        self.sent_at = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bytes:
        """Read available bytes; return the status ("201") once the answer is complete, else b"".

        Raises ConnectionError when the server closes the connection.
        """
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return b""
        lower = head.lower()
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            complete = len(body) >= int(lower[at + 17 :].partition(b"\r\n")[0])
        else:
            complete = b"transfer-encoding: chunked" not in lower or body.endswith(b"0\r\n\r\n")
        if not complete:
            return b""
        self._received = b""
        return head[9:12]


def measure(job: dict[str, object]) -> dict[str, object]:
    """Run a job and return its requests, seconds, and p50 and p99 latencies in milliseconds.

    `job` has host, port, request, connections, seconds, limit and status. It ends after `seconds`,
    or once `limit` requests (0 = no limit) have been sent. With `closes` the server closes a
    connection after each answer, and the next request opens one.
    """
    address = (str(job["host"]), int(str(job["port"])))
    request = str(job["request"]).encode("latin-1")
    wanted, limit = str(job["status"]).encode(), int(str(job.get("limit", 0)))
    connections: dict[int, Connection] = {}
    poll = select.epoll()

    def add(connection: Connection) -> None:
        connections[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)

    for _ in range(int(str(job["connections"]))):
        add(Connection(address, request))
    latencies: list[float] = []
    errors: dict[str, int] = {}
    began = time.perf_counter()
    end = began + float(str(job["seconds"]))
    sent = 0
    for connection in connections.values():
        connection.send()
        sent += 1
    waiting = len(connections)
    while waiting:
        for descriptor, _ in poll.poll(60):
            connection = connections[descriptor]
            status = connection.receive()
            if not status:
                continue
            now = time.perf_counter()
            latencies.append(now - connection.sent_at)
            if status != wanted:
                errors[status.decode("latin-1")] = errors.get(status.decode("latin-1"), 0) + 1
            more = now < end and (not limit or sent < limit)
            if job.get("closes") or not more:
                poll.unregister(descriptor)
                del connections[descriptor]
                connection.socket.close()
            if not more:
                waiting -= 1
                continue
            if job.get("closes"):
                connection.open()
                add(connection)
            connection.send()
            sent += 1
    seconds = time.perf_counter() - began
    latencies.sort()
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "errors": errors,
    }


if __name__ == "__main__":
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
