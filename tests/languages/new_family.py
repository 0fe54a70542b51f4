"""A family that exists only where a test puts it: a language whose compiler is a shell script."""

import json
from pathlib import Path
from typing import Any

#: The compiler. It copies what it finds, and fails for a file that holds the word "bad".
COMPILER = """#!/bin/sh
case "$1" in
--version)
  echo "echo-lang 2.5.1" ;;
library)
  echo "library made by $(basename "$0")" > "$2/library.txt" ;;
compile)
  if grep -n bad "$2"; then echo "$2: a bad word" >&2; exit 3; fi
  mkdir -p out
  { cat "$2"; cat "$3/common.txt" "$4/library.txt"; echo "$BOTH $BUILD"; } > out/program.txt ;;
esac
"""
#: The wrapper: frames of `minifn.workers.protocol`, one request at a time, in POSIX shell.
SERVER = r"""
take() { dd bs=1 count="$1" 2>/dev/null <&3; }
size() { set -- $(take 4 | od -An -tu1); echo $(( ($1 << 24) + ($2 << 16) + ($3 << 8) + $4 )); }
byte() { printf "\\$(($1 >> 6 & 3))$(($1 >> 3 & 7))$(($1 & 7))"; }
number() { byte $(($1 >> 24)); byte $(($1 >> 16)); byte $(($1 >> 8)); byte "$1"; }
send() { { number ${#1}; number ${#2}; printf %s%s "$1" "$2"; } >&3; }

send '{"type":"ready","protocol":1,"concurrency":1}' ""
while header_size=$(size) && [ "${header_size:-0}" -gt 0 ]; do
  body_size=$(size)
  header=$(take "$header_size")
  body=$(take "$body_size")
  case "$header" in
  *'"type":"stop"'*) exit 0 ;;
  *'"type":"request"'*)
    after=${header#*'"id":'}
    answer="$body|$(cat "$1")|$(cat "$2/library.txt")|$BOTH $WORKER|$3|$4"
    response="{\"type\":\"response\",\"id\":${after%%[!0-9]*},\"statusCode\":200,\"headers\":[]}"
    send "$response" "$answer" ;;
  esac
done
"""
MANIFEST: dict[str, Any] = {
    "key": "echo",
    "order": 90,
    "name": "Echo",
    "logo": "echo.png",
    "base": "echo:{version}",
    "image": "echo:{version}",
    "supports": ["x86"],
    "versions": ["1.0", "2.5"],
    "precision": 2,
    "starter": {"entrypoint": "main.echo", "commands": "true"},
    "old_commands": "echoc --version",
    "hint": "put echo-lang into a directory of MINIFN_RUNTIME_PATHS",
    "interpreter": {
        "names": ["echo-lang"],
        "version": ["--version"],
        "oldest": "2",
        "scripts": True,
        "tool": "echoc",
        "prefix": 1,
        "shows": ["."],
    },
    "common": "echo-library",
    "shared": ["{interpreter}", "library", "{shared}"],
    "compile": ["{interpreter}", "compile", "{code}/{entrypoint}", "{common}", "{shared}"],
    "keep": ["out/*.txt"],
    "start": [
        *("/bin/sh", "{wrapper}/server.sh", "{code}/out/program.txt", "{shared}"),
        *("{memory_mb}", "{entrypoint}"),
    ],
    "env": {"BOTH": "echo {version}"},
    "build_env": {"BUILD": "in {scratch}"},
    "worker_env": {"WORKER": "in {tmp}"},
    "memory_allowance_mb": 64,
}


def write_family(root: Path, folder: str = "echo", **changes: Any) -> None:
    """Write the family's folders below `root`, with other values in its manifest."""
    family, library = root / folder, root / "echo-library"
    (family / "starter").mkdir(parents=True, exist_ok=True)
    library.mkdir(exist_ok=True)
    (family / "manifest.json").write_text(json.dumps({**MANIFEST, **changes}))
    (family / "server.sh").write_text(SERVER)
    (family / "starter" / "main.echo").write_text("from the starter\n")
    (library / "common.txt").write_text("common code\n")


def install_compiler(place: Path) -> Path:
    """Put the compiler into a directory, and return it."""
    place.mkdir(parents=True, exist_ok=True)
    program = place / "echo-lang"
    program.write_text(COMPILER)
    program.chmod(0o755)
    return program
