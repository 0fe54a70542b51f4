"""The manifests below `runtimes/`: one JSON file per language family, data only.

Keys, names and versions are those of Appwrite's own list (`src/Runtimes/Runtimes.php` of appwrite/runtimes).
Argument lists, commands and environments may hold `{interpreter}`, `{wrapper}`, `{code}`, and in builds `{cache}`,
`{scratch}` and `{entrypoint}`.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from minifn import jsontext


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime as the API lists it."""

    #: `<key>-<version>`.
    id: str
    key: str
    name: str
    version: str
    #: The Docker images Appwrite would use; minifn only reports them.
    base: str
    image: str
    logo: str
    supports: tuple[str, ...]


class Finder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to find a family's interpreters on a machine."""

    #: File names, as regular expressions that match the whole name.
    names: tuple[str, ...]
    #: Directories (globs, `~` allowed) to look into besides PATH; `{server}` is where the server's own Python lies.
    places: tuple[str, ...] = ()
    #: Arguments that make it print its version.
    version: tuple[str, ...]
    #: The oldest version the wrapper runs on.
    oldest: str


class Install(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run for a function without commands when a file asks for dependencies."""

    file: str
    #: The file is JSON or TOML, and one of these members (`table.member`) must not be empty; () = it need only exist.
    keys: tuple[str, ...] = ()
    #: Not when this exists.
    unless: str = ""
    command: str

    def applies(self, code: Path) -> bool:
        """Tell whether the function in `code` needs this. A file that cannot be read needs it: the tool says why."""
        file = code / self.file
        if not file.is_file() or (self.unless and (code / self.unless).exists()):
            return False
        if not self.keys:
            return True
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
    """Return a member of nested tables, None when it is not there."""
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
    #: How many parts of a version name a language version: 1 for Node.js (18.0 means any 18), 2 for Python.
    precision: int
    #: Everything below is taken from this family instead.
    like: str = ""
    default_entrypoint: str = ""
    #: How to get an interpreter, for people.
    hint: str = ""
    interpreter: Finder | None = None
    #: Starts a worker; empty when minifn has no wrapper for the language.
    start: tuple[str, ...] = ()
    #: Directories put before PATH, for builds and workers.
    path: tuple[str, ...] = ()
    #: Directories put before those, for builds.
    build_path: tuple[str, ...] = ()
    #: Prefix of a build's command: makes ready, then runs the rest of its arguments.
    prepare: tuple[str, ...] = ()
    #: Links made by `prepare` that lead out of the code to the interpreter.
    links: tuple[str, ...] = ()
    #: Environment name -> Python package of the server that `prepare` may use when the interpreter has none of its own.
    borrow: dict[str, str] = {}
    install: tuple[Install, ...] = ()
    build_env: dict[str, str] = {}
    #: Environment name -> options by which the language keeps to its memory, `{heap_mb}`; options of the function's own
    #: variable of that name follow and win.
    options: dict[str, str] = {}
    #: Run after the build's command: fails with the compiler's message when the entrypoint cannot be
    #: parsed, without running it.
    check: tuple[str, ...] = ()
    #: Run after the build when there is time for it; what it does not manage is no failure.
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

    Raises OSError or msgspec.ValidationError for a manifest that is not as it should be.
    """
    decoder = msgspec.json.Decoder(Family)
    families = sorted(
        (decoder.decode(path.read_bytes()) for path in root.glob("*/manifest.json")),
        key=lambda family: family.order,
    )
    return {family.key: family for family in families}
