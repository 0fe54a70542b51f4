"""The listening sockets of `minifn serve`, held from before the first worker to after the last.

A function on the machine's network can bind every free address. Clients that know the server as
`localhost` try both loopbacks, often ::1 first, and send their API key to the one that answers. So
the port is taken on both.
"""

import contextlib
import errno
import socket
from typing import Any, Self

#: Most connections that wait to be accepted.
BACKLOG = 2048
#: Server's address -> a second address that is served too, because `localhost` means both.
TWINS = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
#: Server's address -> a second address that is bound but not served: a host's name may mean both,
#: but an IPv4 server answers only by IPv4.
HELD = {"0.0.0.0": "::"}
#: Most ports that are tried, for port 0, until one is free on every address.
ATTEMPTS = 16
#: Errors of an address that the machine does not have, so that no process can bind it.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class AddressUnavailable(Exception):
    """An address cannot be listened on; the message is one line to show."""


class Listeners:
    """Sockets of one port. A context manager that frees the port at its end."""

    def __init__(self, served: list[socket.socket], held: list[socket.socket]) -> None:
        self._served = served
        self._held = held
        self.port: int = served[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for one in (*self._served, *self._held):
            one.close()

    def duplicates(self) -> list[socket.socket]:
        """Return copies of the sockets to serve; closing the copies keeps the port."""
        return [one.dup() for one in self._served]

    def refuse(self) -> None:
        """Refuse connections from now on, and keep the port, because workers still run."""
        for one in self._served:
            # Otherwise another socket with this option could bind the port of one that does not
            # listen.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                # Only Linux can shut down a listening socket.
                one.close()


def listen(host: str, port: int) -> Listeners:
    """Return sockets that listen. Raises AddressUnavailable."""
    attempts = 1 if port else ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _listen(host, port)
        except OSError as error:
            where = error.filename or host
            if error.errno != errno.EADDRINUSE:
                reason = error.strerror or error
                raise AddressUnavailable(
                    f"cannot listen on {where} port {port}: {reason}"
                ) from error
            if not attempts:
                raise AddressUnavailable(
                    f"port {port} of {where} is in use; choose another with --port"
                ) from error


def _listen(host: str, port: int) -> Listeners:
    """Bind every address of the server. Raises OSError, whose `filename` is the address."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if not port:
        # The port is bound by its number: the kernel releases a port it chose at `shutdown`.
        with _bind(family, address) as chosen:
            address = chosen.getsockname()
    with contextlib.ExitStack() as stack:
        served = [stack.enter_context(_bind(family, address))]
        bound = served[0].getsockname()
        held = []
        if other := TWINS.get(bound[0]):
            served += [stack.enter_context(one) for one in _bind_other(other, bound[1])]
        elif other := HELD.get(bound[0]):
            held += [stack.enter_context(one) for one in _bind_other(other, bound[1], reuse=False)]
        for one in served:
            # Listen at once: until then a worker could bind the port.
            one.listen(BACKLOG)
        stack.pop_all()
    return Listeners(served, held)


def _bind_other(address: str, port: int, *, reuse: bool = True) -> list[socket.socket]:
    """Return a bound socket, or none where the machine has no such address. Raises OSError."""
    try:
        return [
            _bind(
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                (address, port),
                reuse,
                both=False,
            )
        ]
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise


def _bind(
    family: int, address: tuple[Any, ...], reuse: bool = True, *, both: bool = True
) -> socket.socket:
    """Return a bound socket. Raises OSError, whose `filename` is the address.

    `both`: an IPv6 socket takes IPv4 too. `reuse`: ended connections do not occupy the port.
    """
    with contextlib.ExitStack() as stack:
        try:
            # asyncio sends small pieces at once only where the protocol is named.
            tcp = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            bound = stack.enter_context(tcp)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
            bound.bind(address)
        except OSError as error:
            raise OSError(error.errno, error.strerror, address[0]) from error
        stack.pop_all()
    return bound
