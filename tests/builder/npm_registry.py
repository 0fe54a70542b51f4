"""A registry of npm on this machine, with packages whose programs say their name and version."""

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

#: Packages: name -> version -> the Node.js it asks for.
PACKAGES = {
    "pnpm": {"8.0.0": ">=1", "9.1.0": ">=1", "99.0.0": ">=99"},
    "yarn": {"1.22.0": ">=1"},
    "@yarnpkg/cli-dist": {"4.1.0": ">=1"},
    "corepack": {"0.30.0": ">=1"},
}
#: Package -> the programs in it.
PROGRAMS = {
    "pnpm": ("pnpm", "pnpx"),
    "yarn": ("yarn", "yarnpkg"),
    "@yarnpkg/cli-dist": ("yarn",),
    "corepack": ("corepack",),
}


def tarball(name: str, version: str) -> bytes:
    """Return a package whose programs say their name and version."""
    manifest = {"name": name, "version": version, "bin": dict.fromkeys(PROGRAMS[name], "cli.js")}
    script = f"#!/usr/bin/env node\nconsole.log('{name} {version}', ...process.argv.slice(2));\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in (("package.json", json.dumps(manifest)), ("cli.js", script)):
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Registry(http.server.BaseHTTPRequestHandler):
    """The part of npm's registry that an installation asks."""

    #: `name version` -> tarball.
    tarballs: ClassVar = {
        f"{name} {version}": tarball(name, version)
        for name, versions in PACKAGES.items()
        for version in versions
    }

    def do_GET(self) -> None:
        path = self.path.replace("%2f", "/").strip("/")
        name, _, file = path.partition("/-/")
        if name not in PACKAGES:
            self.send_error(404)
            return
        body = (
            self.tarballs[f"{name} {file.removesuffix('.tgz')}"]
            if file
            else json.dumps(self.packument(name)).encode()
        )
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def packument(self, name: str) -> dict[str, object]:
        versions = {
            version: {
                "name": name,
                "version": version,
                "bin": dict.fromkeys(PROGRAMS[name], "cli.js"),
                "engines": {"node": node},
                "dist": {
                    "tarball": f"http://{self.headers['host']}/{name}/-/{version}.tgz",
                    "integrity": integrity(self.tarballs[f"{name} {version}"]),
                },
            }
            for version, node in PACKAGES[name].items()
        }
        return {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": versions}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def integrity(content: bytes) -> str:
    """Return a digest as npm writes it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@contextmanager
def serving() -> Iterator[str]:
    """The address of a registry, while it runs."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
