"""One interface to every version of the `appwrite` package, which returns dictionaries.

Since 17 the package returns pydantic models, without defaults until 25: building one checks that
every field exists and has its type. The dictionaries here come from those models, so each answer is
checked.
"""

import inspect
import os
import time

from appwrite.client import Client
from appwrite.exception import AppwriteException


def connect(**credentials):
    """Return a client of this project; its credentials are `key`, `session` or `jwt`."""
    client = Client().set_endpoint(os.environ["ENDPOINT"]).set_project(os.environ["PROJECT"])
    for name, value in credentials.items():
        getattr(client, f"set_{name}")(value)
    return client


def response_format():
    """Return Appwrite's version for this package, such as (1, 6)."""
    headers = {name.lower(): value for name, value in Client()._global_headers.items()}
    return tuple(int(part) for part in headers["x-appwrite-response-format"].split(".")[:2])


def plain(answer):
    """Return the dictionary that a model was made from, and other answers unchanged."""
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


class Service:
    """A service whose methods return dictionaries, drop unknown arguments, and are counted."""

    def __init__(self, service):
        self._service = service
        self.called = set()

    def __getattr__(self, name):
        method = getattr(self._service, name)
        known = inspect.signature(method).parameters

        def call(*arguments, **named):
            self.called.add(name)
            return plain(
                method(*arguments, **{key: value for key, value in named.items() if key in known})
            )

        return call

    def has(self, name):
        """Tell whether this version has a method."""
        return hasattr(self._service, name)

    def check_all_called(self):
        """Raise AssertionError unless every method was called."""
        methods = {
            name
            for name, value in vars(type(self._service)).items()
            if callable(value) and name[0] != "_"
        }
        assert self.called == methods, methods - self.called


def refused(code, kind, call, *arguments, **named):
    """Check that a call is refused, and the package's exception for it."""
    error = None
    try:
        call(*arguments, **named)
    except AppwriteException as raised:
        error = raised
    assert error is not None, f"expected {code} {kind}"
    assert (error.code, error.type) == (code, kind), (error.code, error.type, error.message)
    assert error.message


def until(call, status):
    """Call until the answer has a status.

    Raises AssertionError for another final status, and after a minute.
    """
    deadline = time.monotonic() + 60
    while True:
        found = call()
        if found["status"] == status:
            return found
        assert found["status"] not in ("failed", "ready", "canceled", "completed"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
