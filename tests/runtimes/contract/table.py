"""The rows of the table, and the facts in which a family differs from them."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minifn.models import Headers
from minifn.workers.records import FunctionResponse
from tests.workers.harness import Caller

NOTICE = "Native logs detected. Use context.log() or context.error() for better experience."
TEXT = ("content-type", "text/plain; charset=utf-8")
#: The program with a route for each case. Its entry lies in a sub-folder, others' in the root.
CONTRACT = "contract"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The outcome that a call must have. A field that is None is not checked."""

    status: int = 200
    body: bytes | None = None
    #: The body as JSON.
    value: Any = None
    #: All headers, in any order.
    headers: Headers | None = None
    #: Headers besides others.
    sends: Headers = ()
    logs: str | None = ""
    #: All of `errors`; checked only without `says` and `at`.
    errors: str = ""
    #: Texts that `errors` holds, in any case of letters.
    says: tuple[str, ...] = ()
    #: Texts that `errors` lacks.
    hides: tuple[str, ...] = ()
    #: A text that is on one line of the entry: `errors` names the file and that line.
    at: str = ""
    failure: str | None = ""

    def check(self, found: FunctionResponse, entry: Path) -> None:
        """Raise AssertionError with both sides unless `found` is this answer."""
        told = shown(found)
        assert found.status_code == self.status, told
        assert self.failure in (None, found.failure), told
        if self.body is not None:
            same = found.body == self.body
            assert same, told
        if self.value is not None:
            assert json.loads(found.body) == self.value, told
        if self.headers is not None:
            assert sorted(found.headers) == sorted(self.headers), told
        assert set(self.sends) <= set(found.headers), told
        assert self.logs in (None, found.logs), told
        for text in self.says:
            assert text.lower() in found.errors.lower(), told
        for text in self.hides:
            assert text not in found.errors, told
        if self.at:
            assert re.search(line_pattern(entry, self.at), found.errors), told
        if not (self.says or self.at):
            assert found.errors == self.errors, told


def shown(found: FunctionResponse) -> str:
    """Return an answer as text, its long members cut."""
    texts = (found.body.decode(errors="replace"), found.logs, found.errors)
    cut = [text if len(text) < 1500 else f"{text[:700]} ... {text[-700:]}" for text in texts]
    return f"{found.status_code} {found.failure} {found.headers!r:.500} " + repr(cut)


def failed(status: int = 500, **fields: Any) -> Answer:
    """Return an answer with an empty body and a default type, as for every failure."""
    return Answer(status=status, body=b"", headers=(TEXT,), **fields)


def line_pattern(entry: Path, text: str) -> str:
    """Return a pattern of the ways in which languages name the line of `entry` that has `text`."""
    lines = entry.read_text(encoding="utf-8").splitlines()
    (number,) = (index for index, line in enumerate(lines, 1) if text in line)
    return rf'{re.escape(entry.name)}(:|\(|", line ){number}\b'


@dataclass(frozen=True)
class Call:
    """A request of a case and its answer."""

    path: str = "/mirror"
    answer: Answer = field(default_factory=Answer)
    #: Further fields of the FunctionRequest; `seconds` is its timeout.
    request: Mapping[str, Any] = field(default_factory=dict)


#: A case in code: gets the caller of the contract's program.
Story = Callable[[Caller], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row: calls of one program in order, or a story for what calls in a row cannot show."""

    name: str
    calls: tuple[Call, ...] = ()
    story: Story | None = None
    #: Variables of the function.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: Whether workers of other cases may answer. A case that counts or ends workers has its own.
    shared: bool = True
    #: Whether it needs an engine that confines functions.
    confined: bool = False
    #: Whether it takes seconds, so that a plain `pytest` leaves it out.
    slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A failed build: `says` are texts of its log."""

    says: tuple[str, ...]


Outcome = Broken | Answer | tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Load:
    """A row about a program that cannot be built or loaded, or that acts while it is loaded.

    A failed build fails the second time with the same words. An answer is that of three calls in a
    row, with the same words; answers are those of calls in a row.
    """

    name: str
    #: The outcome in a language without a compiler, and in one with.
    outcome: Outcome
    compiled: Outcome
    #: The folder of the program, "" for the case's name.
    program: str = ""
    #: The entry's name in place of the program's, without suffix.
    entry: str = ""
    slow: bool = False
    #: Whether the worker is started before the first call.
    prewarmed: bool = False


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The other outcome of a case in one family, and the reason."""

    because: str
    #: The answers to the calls of a case, in order; None for one that does not differ.
    answers: tuple[Answer | None, ...] = ()
    #: The outcome of a `Load`.
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family's part in the contract."""

    key: str
    #: Name of the entry of each program: `main.js` is at `src/main.js` of `contract`.
    entry: str
    #: Whether builds compile, so that errors of the source are the build's.
    compiled: bool = False
    #: Build commands of the programs, by program.
    commands: Mapping[str, str] = field(default_factory=dict)
    #: Case -> its other outcome.
    differs: Mapping[str, Difference] = field(default_factory=dict)
    #: Case -> the reason for which the language cannot have it.
    cannot: Mapping[str, str] = field(default_factory=dict)
    #: Cases that take seconds in this language, besides those that are slow in all.
    slow: frozenset[str] = frozenset()
    #: Further entries of `contract` -> the cases that they answer as well.
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """The suffix of source files, without the dot."""
        return self.entry.rpartition(".")[2]

    def programs(self) -> Path:
        """Return the folder of its programs."""
        return Path(__file__).parents[1] / "families" / self.key

    def entry_of(self, program: str) -> str:
        """Return the entrypoint of a program."""
        return f"src/{self.entry}" if program == CONTRACT else self.entry
