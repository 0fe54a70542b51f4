"""Each language without minifn: its own HTTP server, and its compiler on a function's file."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from minifn.languages import Installed
from tests.benchmarks.targets import PEERS, PORT

PROGRAMS = PEERS / "languages"
#: Programs with a function's file in them, so that no compiler leaves the handler out.
GO_PROGRAM = """package main

import (
	"github.com/open-runtimes/types-for-go/v4/openruntimes"
	handler "openruntimes/handler"
)

func main() { handler.Main(openruntimes.Context{}) }
"""
RUST_PROGRAM = """#[path = "{entry}"]
mod handler;

fn main() {{
    let kept: fn(openruntimes::Context) -> openruntimes::Response = handler::main;
    println!("{{:p}}", kept as *const ());
}}
"""
CPP_PROGRAM = '#include "{entrypoint}"\nauto *kept = &runtime::Handler::main;\n'
#: Levels of folders below the headers of C++, so that `../` of an entry leads to them.
CPP_LEVELS = 2


class BareFailed(Exception):
    """A language alone could not be compiled or run; the message says why."""


def run(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **options: str) -> None:
    """Run a compiler. Raises BareFailed with the end of its errors."""
    done = subprocess.run(
        list(map(str, argv)),
        env={**os.environ, **(env or {})},
        cwd=options.get("cwd"),
        input=options.get("text", ""),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        said = " ".join(done.stdout.split())[-300:]
        raise BareFailed(f"{Path(argv[0]).name} exited with {done.returncode}: {said}")


def server(installed: Installed, folder: Path, site: Path) -> list[str]:
    """Return the command of a language's own HTTP server, compiled into `folder` if need be.

    `site` is the folder that the server of static files serves. Raises BareFailed.
    """
    family, program = installed.runtime.key, str(installed.interpreter.path)
    source = next(PROGRAMS.glob(f"{family if family != 'java' else 'Java'}.*"), None)
    if source is None:
        raise BareFailed(f"there is no program for {family}")
    binary = folder / f"{family}-server"
    # The JDK's server writes headers and body apart: without this the body waits for an
    # acknowledgment.
    nodelay = "-Dsun.net.httpserver.nodelay=true"
    match family:
        case "deno":
            return [program, "run", "--allow-net", "--no-lock", str(source), PORT]
        case "php":
            return [program, "-S", f"127.0.0.1:{PORT}", str(source)]
        case "static":
            return [program, str(source), PORT, str(site)]
        case "java":
            return [program, nodelay, str(source), PORT]
        case "kotlin":
            kotlin(installed, [source], binary)
            library = installed.interpreter.prefix / "lib/kotlin-stdlib.jar"
            java = str(installed.needed["java"].path)
            return [java, nodelay, "-cp", f"{binary}:{library}", "KotlinKt", PORT]
        case "go":
            run([program, "build", "-o", binary, source], go_env())
        case "rust":
            run([program, "--edition", "2021", "-O", "-o", binary, source])
        case "cpp":
            run([program, "-O2", "-pthread", "-o", binary, source])
        case _:
            return [program, str(source), PORT]
    return [str(binary), PORT]


def go_env() -> dict[str, str]:
    """Return the variables of Go's compiler."""
    return {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}


def kotlin(installed: Installed, sources: Sequence[Path], target: Path, jar: str = "") -> None:
    """Run Kotlin's compiler with the JDK of the family. Raises BareFailed."""
    more = ["-cp", jar] if jar else []
    env = {"JAVA_HOME": str(installed.needed["java"].prefix)}
    # A script of Bash, which a package may have left without the bit that lets it run.
    run(["bash", installed.interpreter.path, *more, "-d", target, *sources], env)


def compile_handler(installed: Installed, code: Path, entrypoint: str, shared: Path) -> bool:
    """Compile a function's file as its author would; return False for a language without compiler.

    `code` holds the function's files, and gets the result. `shared` has minifn's compiled types of
    the handler, which a file cannot do without. Raises BareFailed.
    """
    program, entry, target = installed.interpreter.path, code / entrypoint, code / "out"
    match installed.runtime.key:
        case "go":
            types = installed.wrapper / "types"
            (code / "program").mkdir(exist_ok=True)
            (code / "program/main.go").write_text(GO_PROGRAM)
            replaced = f"-replace=github.com/open-runtimes/types-for-go/v4={types}"
            run([program, "mod", "edit", replaced], go_env(), cwd=str(code))
            run([program, "build", "-o", target, "./program"], go_env(), cwd=str(code))
        case "rust":
            crates = [
                f"--extern={name}={next(shared.glob(f'deps/lib{name}-*.rlib'))}"
                for name in ("openruntimes", "serde_json")
            ]
            options = ["--edition=2021", "--crate-name=program", "-Copt-level=3"]
            search = f"-Ldependency={shared / 'deps'}"
            text = RUST_PROGRAM.format(entry=entry)
            run([program, *options, *crates, search, "-o", target, "-"], text=text)
        case "cpp":
            include = shared / "include"
            nested = include.joinpath(*map(str, range(1, CPP_LEVELS + 1)))
            folders = (code, include / "1", nested)
            argv: list[str | Path] = [program, f"-std=c++{installed.runtime.version}", "-O2"]
            argv += ["-shared", "-fPIC", "-I/usr/include/jsoncpp"]
            argv += [f"-iquote{path}" for path in folders]
            argv += ["-x", "c++", "-", "-ljsoncpp", "-o", target]
            run(argv, text=CPP_PROGRAM.format(entrypoint=entrypoint))
        case "java":
            javac = installed.interpreter.prefix / "bin/javac"
            run([javac, "-cp", shared / "server.jar", "-d", target, entry])
        case "kotlin":
            kotlin(installed, [entry], target, str(shared / "server.jar"))
        case _:
            return False
    return True
