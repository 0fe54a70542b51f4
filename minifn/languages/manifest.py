"""The manifests below `runtimes/`: one JSON file per language family, data only.

Keys, names and versions are those of Appwrite's list (`src/Runtimes/Runtimes.php` of
appwrite/runtimes). Argument lists, commands, globs and environments may contain words:

| word | value |
|---|---|
| `{interpreter}` | the program that was found |
| `{prefix}` | the root of its toolchain |
| `{version}` | the runtime's version, as in its id |
| `{wrapper}`, `{common}` | the family's folder, and the one it shares with other families |
| `{shared}` | what its command `shared` made for this machine, read-only |
| `{code}`, `{entrypoint}` | the function's directory, and its entry file relative to that |
| `{tmp}` | a directory for temporary files |
| `{memory_mb}`, `{heap_mb}` | the memory of the process, and the largest heap in it |
| `{cache}`, `{scratch}` | in builds: the function's cache, and the build's own directory |

Each word of `needs` names the program of another family, `{<word>_prefix}` its root.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from minifn import jsontext

#: Folders of an installation without user data; a prefix like ~/.local is never shown whole.
PREFIX_PARTS = ("bin", "lib", "lib64", "libexec", "include")


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime in the API's list."""

    #: `<key>-<version>`.
    id: str
    key: str
    name: str
    version: str
    #: Appwrite's Docker images, which minifn only reports.
    base: str
    image: str
    logo: str
    supports: tuple[str, ...]


class Finder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to find a family's interpreters on a machine."""

    #: File names, as regular expressions that match the whole name. `{machine}` is the machine's
    #: architecture, such as x86_64.
    names: tuple[str, ...]
    #: Directories (globs, `~` and `$VARIABLE` allowed) to search besides PATH. Words: `{server}`
    #: (the directory of the server's Python), `{venv}` and `{site}` (a virtual environment and its
    #: packages), `{node_modules}`.
    places: tuple[str, ...] = ()
    #: Arguments with which it prints its version.
    version: tuple[str, ...] = ()
    #: File below the prefix that begins with the version, read instead of running the program.
    version_file: str = ""
    #: Variables for the program that prints its version; it gets no others.
    env: dict[str, str] = {}
    #: The oldest version that runs the wrapper.
    oldest: str
    #: Name by which the commands of builds find the program, "" for the name of its file.
    tool: str = ""
    #: Whether scripts and archives count as programs.
    scripts: bool = False
    #: Path below the prefix that exists beside every real match, "" for none.
    holds: str = ""
    #: Directories above the program that end at the toolchain's root; 0 = the toolchain is the
    #: program alone. None = 2 for a program in a directory `bin`, otherwise 0.
    prefix: int | None = None
    #: Parts of the root that a sandbox shows; `.` is all of it.
    shows: tuple[str, ...] = PREFIX_PARTS


class Starter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The starter function, in the folder `starter` of its family."""

    entrypoint: str
    #: Appwrite's install commands for it.
    commands: str = ""


class Install(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command for a function without commands, when a file lists dependencies."""

    file: str
    #: Members (`table.member`) of a JSON or TOML file, one of which must not be empty; () = the
    #: file need only exist.
    keys: tuple[str, ...] = ()
    #: A file whose presence means that the command is not needed.
    unless: str = ""
    command: str

    def applies(self, code: Path) -> bool:
        """Tell whether the function in `code` needs the command.

        It does when the file cannot be read: the tool then reports the error.
        """
        file = code / self.file
        if not file.is_file() or (self.unless and (code / self.unless).exists()):
            return False
        if not self.keys:
            return True
        # A server needs it for such a file alone.
        import tomllib

        try:
            content: object = (
                tomllib.loads(file.read_text(encoding="utf-8"))
                if file.suffix == ".toml"
                else jsontext.decode(file.read_bytes())
            )
        except (jsontext.JsonInvalid, ValueError, RecursionError, OSError):
            return True
        return any(_member(content, key.split(".")) for key in self.keys)


def _member(content: object, path: Sequence[str]) -> object:
    """Return a member of nested tables, None when it is missing."""
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One manifest."""

    key: str
    #: Position in lists.
    order: int
    name: str
    logo: str
    base: str
    image: str
    supports: tuple[str, ...]
    versions: tuple[str, ...]
    #: Number of parts of a language version: 1 for Node.js (18.0 means any 18), 2 for Python.
    precision: int
    #: The starter function, None when there is none.
    starter: Starter | None = None
    #: Build commands of functions that clients before 1.4 make; they send none.
    old_commands: str = ""
    #: The family from which every following field is taken, "" for this one.
    like: str = ""
    #: How users get an interpreter.
    hint: str = ""
    interpreter: Finder | None = None
    #: Word -> family whose best interpreter this one needs as well.
    needs: dict[str, str] = {}
    #: Paths (globs) of the machine that its programs read, such as `/etc/php`. `{shared}` is made
    #: again when one of them changes.
    system_paths: tuple[str, ...] = ()
    #: Folder beside this one with code that families share, "" for none.
    common: str = ""
    #: Command that fills `{shared}` once for each toolchain of the machine; empty for none.
    shared: tuple[str, ...] = ()
    #: MB that the language reserves and does not use, allowed on top of the specification.
    memory_allowance_mb: int = 0
    #: The oldest version that does so, "" for all.
    memory_allowance_since: str = ""
    #: Threads that the workers of one function may have besides the usual processes, for a language
    #: that has many of its own and one for each call.
    threads_allowance: int = 0
    #: Command of a worker; empty when minifn has no wrapper for the language.
    start: tuple[str, ...] = ()
    #: Whether its wrapper can be a template: see minifn/workers/template.py.
    forks: bool = False
    #: Whether its workers import the function with the first request, and their start takes so much
    #: longer than that of a sandbox that one waits ahead: see minifn/workers/spare.py.
    waits: bool = False
    #: Whether its workers answer `load`, so that new code replaces old code only once it loads.
    reload: bool = False
    #: Directories put before PATH, for builds and workers.
    path: tuple[str, ...] = ()
    #: Directories put before those, for builds.
    build_path: tuple[str, ...] = ()
    #: Prefix of a build's command: prepares the code, then runs the rest of its arguments.
    prepare: tuple[str, ...] = ()
    #: Links from the code to the interpreter that `prepare` makes.
    links: tuple[str, ...] = ()
    #: Environment name -> Python package of the server, for an interpreter without that package.
    borrow: dict[str, str] = {}
    install: tuple[Install, ...] = ()
    #: Variables of builds and workers, of builds, and of workers; the function's override them.
    env: dict[str, str] = {}
    build_env: dict[str, str] = {}
    worker_env: dict[str, str] = {}
    #: Environment name -> options that limit the language's memory to `{heap_mb}`; the function's
    #: variable of that name is appended and wins.
    options: dict[str, str] = {}
    #: Command after the build's command: fails with the compiler's message when the entrypoint
    #: does not parse, without running it.
    check: tuple[str, ...] = ()
    #: Command after those, also without a build command. Its output is the build's log, its failure
    #: the build's.
    compile: tuple[str, ...] = ()
    #: Paths (globs) of the build that its workers need; all else is removed. Empty keeps all.
    keep: tuple[str, ...] = ()
    #: Command after the build, which may fail or be cut short.
    finish: tuple[str, ...] = ()

    def runtimes(self) -> tuple[Runtime, ...]:
        """Return the family's runtimes, oldest first."""
        return tuple(
            Runtime(
                id=f"{self.key}-{version}",
                key=self.key,
                name=self.name,
                version=version,
                base=self.base.replace("{version}", version),
                image=self.image.replace("{version}", version),
                logo=self.logo,
                supports=self.supports,
            )
            for version in self.versions
        )


def load_families(root: Path) -> dict[str, Family]:
    """Return the families below `root` by key, in list order.

    Raises OSError, and msgspec.ValidationError for a bad manifest.
    """
    decoder = msgspec.json.Decoder(Family)
    families = sorted(
        (decoder.decode(path.read_bytes()) for path in root.glob("*/manifest.json")),
        key=lambda family: family.order,
    )
    return {family.key: family for family in families}
