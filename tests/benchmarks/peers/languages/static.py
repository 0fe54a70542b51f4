"""Python's own server of files: `python -m http.server` with connections that stay open."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # It writes headers and body apart: without this the body waits for an acknowledgment.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Log nothing."""


handler = partial(Handler, directory=sys.argv[2])
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
