"""The undocumented parts of uvicorn that minifn/server uses."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import uvicorn
from uvicorn import _types
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.websockets import websockets_sansio_impl

from minifn.server.direct import DirectCycle

ROOT = Path(__file__).parents[2]
#: Class -> the attributes and methods of it that minifn/server reads, sets, calls or overrides.
USED: dict[type, set[str]] = {
    httptools_impl.HttpToolsProtocol: {
        *("connections", "cycle", "flow", "headers", "loop", "pipeline", "scope", "transport"),
        *("logger", "on_response_complete", "parser", "server_state", "shutdown", "tasks", "url"),
        *("on_message_complete", "timeout_keep_alive", "timeout_keep_alive_handler"),
        *("connection_lost", "connection_made", "data_received", "handle_websocket_upgrade"),
        *("on_body", "on_headers_complete", "on_message_begin", "pause_writing", "resume_writing"),
        *("eof_received", "send_400_response", "_unset_keepalive_if_required", "app_state"),
        *("timeout_keep_alive_task",),
    },
    httptools_impl.RequestResponseCycle: {
        *("disconnected", "message_event", "more_body", "response_complete", "response_started"),
        *("access_log", "body", "chunked_encoding", "default_headers", "expected_content_length"),
        *("flow", "keep_alive", "logger", "on_response", "receive", "scope", "send"),
        *("send_500_response", "transport", "waiting_for_100_continue"),
    },
    flow_control.FlowControl: {"read_paused", "write_paused"},
    websockets_sansio_impl.WebSocketsSansIOProtocol: {
        *("close_sent", "conn", "data_received", "frames", "handle_cont", "handle_ping"),
        *("handshake_complete", "handshake_initiated", "loop", "send", "transport", "writable"),
    },
    uvicorn.Server: {
        *(
            "capture_signals",
            "handle_exit",
            "main_loop",
            "on_tick",
            "serve",
            "server_state",
            "should_exit",
        ),
        *("shutdown", "startup"),
    },
}
#: Names of minifn's own on the same objects.
OWN = {
    *("body_came", "check_head", "hang_up", "heard_at", "is_late", "paused_at", "receive_too"),
    *("on_answered", "run_app", "task", "write"),
}


def defined(kind: type) -> set[str]:
    """Return the names that a class and its bases define: methods, and attributes set on `self`."""
    found = set(dir(kind))
    for base in kind.__mro__[:-1]:
        if base.__module__.startswith("uvicorn"):
            found |= set(re.findall(r"\bself\.(\w+)\b", inspect.getsource(base)))
    return found


@pytest.mark.parametrize("kind", USED, ids=lambda kind: kind.__name__)
def test_this_uvicorn_has_every_attribute_in_use(kind: type) -> None:
    assert USED[kind] - defined(kind) == set()


def test_a_direct_cycle_has_every_attribute_of_a_cycle() -> None:
    set_there = re.findall(
        r"\bself\.(\w+) = ", inspect.getsource(httptools_impl.RequestResponseCycle.__init__)
    ) + re.findall(
        r"\bself\.(\w+): [^=]+ = ", inspect.getsource(httptools_impl.RequestResponseCycle.__init__)
    )
    set_here = {*vars(DirectCycle)} | set(
        re.findall(r"\bself\.(\w+) = ", inspect.getsource(DirectCycle.__init__))
    )
    # Those of uvicorn's own access log, which is off.
    assert set(set_there) - set_here <= {"access_logger"}
    assert len(set_there) > 10
    assert httptools_impl.STATUS_LINE[201].startswith(b"HTTP/1.1 201")
    assert httptools_impl.HEADER_VALUE_RE.search(b"\r\n")


def test_every_attribute_in_use_is_named_here() -> None:
    """Attributes of `self`, a cycle, a flow or a connection, as minifn/server/ writes them."""
    named = OWN.union(*USED.values())
    for name in ("connections.py", "direct.py", "websockets.py"):
        for node in ast.walk(ast.parse((ROOT / "minifn" / "server" / name).read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in (
                "self",
                "cycle",
                "self.flow",
            ):
                assert node.attr.startswith("_") or node.attr in named, (
                    f"{name}:{node.lineno}: {node.attr}"
                )


def test_the_version_has_a_tested_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = next(line for line in project["dependencies"] if line.startswith("uvicorn"))
    bound = re.fullmatch(r"uvicorn\[standard\]>=[\d.]+,<([\d.]+)", found)
    assert bound, found
    here = tuple(int(part) for part in uvicorn.__version__.split(".")[:2])
    assert here < tuple(int(part) for part in bound[1].split(".")), (
        "try the suite with it, then raise the bound"
    )


def test_the_private_module_of_types_is_there() -> None:
    assert _types.ASGISendEvent
