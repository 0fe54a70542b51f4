"""Variables and files that builds inherit from the server: how to reach package indexes."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

#: Variables whose value is a file or directory that tools read, so a build must see that as well.
PATH_NAMES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"),
    *("PIP_CONSTRAINT", "UV_FIND_LINKS", "npm_config_cafile", "NPM_CONFIG_CAFILE"),
    "CARGO_HTTP_CAINFO",
)
#: Files with settings of package managers for the whole machine.
MACHINE_FILES = (Path("/etc/pip.conf"),)


def passed_through(environ: Mapping[str, str], patterns: tuple[str, ...]) -> dict[str, str]:
    """Return the variables whose names match one of the globs."""
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def passed_paths(passed: Mapping[str, str], data: Path) -> tuple[Path, ...]:
    """Return the existing paths that the passed variables name, outside the data directory."""
    named = (Path(part) for name in PATH_NAMES for part in passed.get(name, "").split())
    found = {path for path in (*named, *MACHINE_FILES) if path.is_absolute() and path.exists()}
    return tuple(sorted(path for path in found if not _overlap(path.resolve(), data.resolve())))


def _overlap(path: Path, other: Path) -> bool:
    return path.is_relative_to(other) or other.is_relative_to(path)
