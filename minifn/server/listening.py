"""The sockets that `minifn serve` listens on, held from before the first worker starts until the last one has ended.

A function on the machine's network can bind every address that is free. Clients that know the server as `localhost`
try both loopbacks, often ::1 first, and send their API key to the one that answers: the port is taken on both.
"""

import contextlib
import errno
import socket
from types import TracebackType
from typing import Any, Self

#: Connections that may wait until they are accepted.
BACKLOG = 2048
#: By the address of the server: another one that is served, too, because `localhost` means both.
TWINS = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
#: By the address of the server: another one that is taken and not served. A host's name may mean both; but a server
#: that is to answer by IPv4 answers by nothing else.
HELD = {"0.0.0.0": "::"}
#: Where any free port is asked for: how many are tried until one is free on every address.
ATTEMPTS = 16
#: The machine has no such address: no process can bind it.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class AddressUnavailable(Exception):
    """An address cannot be listened on; the message is one line to show."""


class Listeners:
    """Sockets of one port. A context manager: the port is free again after it."""

    def __init__(self, served: list[socket.socket], held: list[socket.socket]) -> None:
        self._served = served
        self._held = held
        self.port: int = served[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in (*self._served, *self._held):
            one.close()

    def duplicates(self) -> list[socket.socket]:
        """Return the sockets to serve; closing them leaves the port taken."""
        return [one.dup() for one in self._served]

    def refuse(self) -> None:
        """Refuse connections from now on, and keep the port: workers still run."""
        for one in self._served:
            # Else another socket with this option could take the place of one that does not listen.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                # Elsewhere than on Linux such a socket can only be closed.
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
        # Asked for by its number: a port that the kernel chose is given back with the first `shutdown`.
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
            # Now, and not when requests are taken: until then a worker could take the place.
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
    """Return a bound socket; one of IPv6 takes IPv4 as well if `both`. Raises OSError, whose `filename` is the address.

    `reuse`: connections that have ended do not count.
    """
    with contextlib.ExitStack() as stack:
        try:
            bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
            bound.bind(address)
        except OSError as error:
            raise OSError(error.errno, error.strerror, address[0]) from error
        stack.pop_all()
    return bound
