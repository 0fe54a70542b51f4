"""A function that attacks its server from inside.

The request's path names the attack and its body is the caller's secret, which the function answers
if it answers at all.
"""

import atexit
import contextlib
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

CONTROL = 3
#: Script that ignores polite signals; the test finds it by `mark`.
DAEMON = "trap '' TERM HUP; while :; do sleep 1; done # {mark}"
calls = 0
held = []

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)


def main(context):
    global calls
    calls += 1
    found = globals()[context.req.path[1:]](context)
    return context.res.text(context.req.body_text) if found is None else found


def write(data):
    while data:
        data = data[os.write(CONTROL, data) :]


def send(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    write(struct.pack(">II", len(text), len(body)) + text + body)


def reply(number, body, headers=()):
    send({"type": "response", "id": number, "statusCode": 200, "headers": headers}, body)


def alive(context):
    return None


# Time


def spin(context):
    while True:
        pass


def wait(context):
    time.sleep(60)


def late_reply(context):
    threading.Thread(target=lambda: (time.sleep(2.1), reply(calls, b"poison")), daemon=True).start()
    time.sleep(60)


def half_reply(context):
    write(struct.pack(">II", 100, 100) + b"{")
    time.sleep(60)


def dripping_reply(context):
    for byte in struct.pack(">II", 1000, 20 * 2**20) + b" " * 1000:
        write(bytes([byte]))
        time.sleep(0.01)


def refuse_to_stop(context):
    atexit.register(time.sleep, 60)


# Replies


def garbage(context):
    write(b"\xff" * 64)
    time.sleep(60)


def half_reply_and_exit(context):
    write(struct.pack(">II", 100, 100) + b"{")
    os._exit(0)


def foreign_reply(context):
    reply(10**6, b"poison")
    time.sleep(60)


def early_reply(context):
    reply(calls + 1, b"poison")
    time.sleep(60)


def two_replies(context):
    reply(calls, context.req.body_binary)
    reply(calls, b"poison")
    return context.res.text("poison")


def earlier_reply(context):
    reply(calls - 1, b"poison")
    send({"type": "log", "id": calls - 1, "stream": "logs"}, b"poison\n")


def nested_reply(context):
    send(b'{"type":"response","id":%d,"statusCode":200,"headers":' % calls + b"[" * 500_000)
    time.sleep(60)


def huge_body(context):
    return context.res.binary(bytes(20 * 2**20 + 1))


def huge_frame(context):
    write(struct.pack(">II", 100, 33 * 2**20))
    time.sleep(60)


def headers(context):
    odd = [
        ["x-split", "a\r\nx-planted: 1"],
        ["x-name\r\nx-planted", "1"],
        ["x-bell", "\x07"],
        ["connection", "upgrade"],
        ["transfer-encoding", "chunked"],
        ["content-length", "1"],
        ["x-appwrite-execution-id", "forged"],
        ["x-large", "y" * 100_000],
        ["x-kept", "z"],
    ]
    reply(calls, context.req.body_binary, odd)
    time.sleep(60)


def many_headers(context):
    reply(calls, context.req.body_binary, [["a", ""]] * 90_000)
    time.sleep(60)


def status(context):
    send({"type": "response", "id": calls, "statusCode": 1000, "headers": []})
    time.sleep(60)


# The control socket and the process


def close_control(context):
    os.close(CONTROL)
    time.sleep(60)


def replace_control(context):
    os.dup2(os.open(os.devnull, os.O_RDWR), CONTROL)
    time.sleep(60)


def share_control(context):
    copy = os.dup(CONTROL)
    subprocess.Popen(
        ["/bin/sh", "-c", DAEMON.format(mark=context.req.query["mark"])], pass_fds=(copy,)
    )
    os._exit(0)


def kill_itself(context):
    os.kill(os.getpid(), signal.SIGKILL)


def unnamed_signal(context):
    os.kill(os.getpid(), 40)


def odd_exit_code(context):
    os._exit(168)


def daemon(context):
    """Start one: forked twice, in a session of its own, with every descriptor closed."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            os.execv("/bin/sh", ["sh", "-c", DAEMON.format(mark=context.req.query["mark"])])
        os._exit(0)
    os.wait()


def daemon_and_wait(context):
    daemon(context)
    time.sleep(60)


def daemon_and_exit(context):
    daemon(context)
    os._exit(0)


# Logs


def log_flood(context):
    while True:
        context.log("x" * 8000)


def output_flood(context):
    while True:
        os.write(1, bytes(65536))


def errors_flood(context):
    while True:
        os.write(2, bytes(65536))


def endless_line(context):
    for _ in range(40):
        sys.stdout.write("x" * 1_000_000)


def binary_logs(context):
    context.log("\0\x1b[2J\r\x7f")
    send({"type": "log", "id": calls, "stream": "logs"}, b"\xff\xfe\xc3\n")
    os.write(1, b"\xff\x00\x1b[2J")


# Resources of a process


def files(context):
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass


def take_port(context):
    """Listen on the server's port in its place."""
    port = urlsplit(os.environ["APPWRITE_FUNCTION_API_ENDPOINT"]).port
    for address in ("127.0.0.1", "0.0.0.0", "::1", "::"):
        try:
            socket.create_server(
                (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
            )
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
        else:
            raise RuntimeError(f"took {address}")


def threads(context):
    try:
        for _ in range(2000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        pass


def memory(context):
    try:
        while True:
            held.append(bytearray(16 * 2**20))
    except MemoryError:
        pass


# Files


def plant(context):
    for place in places():
        with contextlib.suppress(OSError):
            (place / context.req.query["mark"]).write_text(context.req.body_text)


def look(context):
    names = []
    for place in places():
        with contextlib.suppress(OSError):
            names += [path.name for path in place.iterdir()]
    return context.res.text(str(context.req.query["mark"] in names))


def places():
    return [
        Path(name) for name in ("/tmp", os.environ.get("TMPDIR", "/tmp"), "/dev/shm", "/var/tmp")
    ]
