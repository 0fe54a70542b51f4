"""The entry file of a function's folder, and so its language, without any settings."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minifn import jsontext
from minifn.languages.manifest import Family, load_families
from minifn.languages.table import default_root

#: Names of entry files besides that of a starter, without their suffix.
STEMS = ("main", "index")
#: Folders of entry files besides that of a starter.
FOLDERS = ("", "src")
#: Suffix of a starter's entry file -> others of the same language.
MORE_SUFFIXES = {".js": (".mjs", ".cjs")}


@dataclass(frozen=True, kw_only=True)
class EntryFile:
    """A file that a family could run: the family's key, and the path in the folder."""

    family: str
    entrypoint: str


def entry_files(folder: Path, root: Path | None = None) -> list[EntryFile]:
    """Return the entry file of each family that could run the code in `folder`, the best first.

    A family is better the more files of its starter and its dependencies the folder has; then the
    order of the manifests decides. The entry file is the `main` of a `package.json`, or has the
    name of the starter's, or one of STEMS. `root` has the manifests, None for minifn's own.
    """
    root = root or default_root()
    found = [
        (_rank(folder, family, root), EntryFile(family=key, entrypoint=entrypoint))
        for key, family in load_families(root).items()
        if (entrypoint := next(_existing(folder, family), None)) is not None
    ]
    return [entry for _, entry in sorted(found, key=lambda one: one[0])]


def _existing(folder: Path, family: Family) -> Iterator[str]:
    for name in _candidates(folder, family):
        if (folder / name).is_file():
            yield name


def _candidates(folder: Path, family: Family) -> Iterator[str]:
    if family.starter is None:
        return
    usual = PurePosixPath(family.starter.entrypoint)
    suffixes = (usual.suffix, *MORE_SUFFIXES.get(usual.suffix, ()))
    named = PurePosixPath(_package_main(folder))
    if named.suffix in suffixes and not named.is_absolute() and ".." not in named.parts:
        yield str(named)
    yield str(usual)
    folders = dict.fromkeys((str(usual.parent), *FOLDERS))
    stems = dict.fromkeys((usual.stem, *STEMS))
    for place, stem, suffix in itertools.product(folders, stems, suffixes):
        yield str(PurePosixPath(place) / f"{stem}{suffix}")


def _package_main(folder: Path) -> str:
    """Return the member `main` of the folder's package.json, "" without one."""
    try:
        described = jsontext.decode((folder / "package.json").read_bytes())
    except (jsontext.JsonInvalid, OSError):
        return ""
    main = described.get("main") if isinstance(described, dict) else None
    return main if isinstance(main, str) else ""


def _rank(folder: Path, family: Family, root: Path) -> tuple[int, int, int]:
    """Return a sort key: files of the starter at the folder's top, of dependencies, the order."""
    starter = root / family.key / "starter"
    own = [path.name for path in starter.glob("*") if path.is_file() and path.suffix != ".md"]
    counts = [
        sum((folder / name).is_file() for name in names)
        for names in (own, [one.file for one in family.install])
    ]
    return -counts[0], -counts[1], family.order
