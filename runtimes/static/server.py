"""The static wrapper: answers requests with the files of a build. No code of the build runs.

It is started as `python -I -S server.py COMMON`, with no variable or package of the function in
effect; COMMON is the folder of the Python wrapper, whose channel it uses. The documents are the
entrypoint's folder, and its name is that of index pages. minifn/workers/protocol.py describes the
frames.
"""

from __future__ import annotations

import os
import sys

# -I leaves out the own folder.
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import json

from minifn_channel import LENGTHS, Channel
from static_answers import Answer, Answers
from static_files import Files

#: Bytes of a file up to which it is read, so that answers of one batch leave in one write.
READ_BYTES = 64 * 1024

dump_json = json.JSONEncoder(separators=(",", ":")).encode


def respond(channel: Channel, frame: dict, answer: Answer) -> None:
    """Send the answer to a request frame, and close its file."""
    number = frame["id"]
    if answer.error and frame["logging"]:
        log = f'{{"type":"log","id":{number},"stream":"errors"}}'
        channel.send(log, f"{answer.error}\n".encode("utf-8", "replace"), True)
    header = (
        f'{{"type":"response","id":{number},"statusCode":{answer.status},'
        f'"headers":{dump_json(answer.headers)}}}'
    )
    if answer.file is None:
        return channel.send(header, answer.body, True)
    try:
        if answer.size_bytes <= READ_BYTES:
            channel.send(header, read(answer), True)
        else:
            channel.flush()
            os.write(channel.fd, LENGTHS.pack(len(header), answer.size_bytes) + header.encode())
            send_file(channel.fd, answer)
    finally:
        os.close(answer.file)


def read(answer: Answer) -> bytes:
    """Return the part of a small file. Raises OSError when the file has become shorter."""
    body = os.pread(answer.file, answer.size_bytes, answer.offset)
    if len(body) < answer.size_bytes:
        raise OSError("a file of the build has changed")
    return body


def send_file(socket: int, answer: Answer) -> None:
    """Send the part of a file, which the kernel copies. Raises OSError for a shorter file."""
    offset, end = answer.offset, answer.offset + answer.size_bytes
    while offset < end:
        sent = os.sendfile(socket, answer.file, offset, end - offset)
        if sent == 0:
            raise OSError("a file of the build has changed")
        offset += sent


def main() -> None:
    channel = Channel(int(os.environ.pop("MINIFN_SOCKET")[len("fd:") :]))
    code = os.environ.pop("MINIFN_CODE")
    os.set_inheritable(channel.fd, False)
    files = Files(
        code,
        os.environ.get("OPEN_RUNTIMES_ENTRYPOINT", ""),
        os.environ.get("OPEN_RUNTIMES_STATIC_FALLBACK", ""),
    )
    answers = Answers(files, os.environ.get("OPEN_RUNTIMES_CACHE_HEADER", ""))
    channel.send('{"type":"ready","protocol":1,"concurrency":0}', b"")
    while True:
        for frame, _ in channel.receive():
            if frame["type"] == "request":
                respond(channel, frame, answers.to(frame))
            elif frame["type"] == "stop":
                channel.flush()
                os._exit(0)
        channel.flush()


if __name__ == "__main__":
    main()
