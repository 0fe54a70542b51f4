"""Odd values of every option and argument: one line that names them, and never a traceback."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from minifn.cli import main
from minifn.cli.finding import BadAddress, address
from tests.cli.conftest import Here

#: Texts that no parameter means.
ODD = (
    *(" ", "-1", "nan", "1e999", "9" * 30, "٣", "x" * 300, "a/../b", "../../etc/passwd"),
    *("\udcff", "ä\n\x1b[31m", "http://[", "http://[/v1", "http://x:99999/v1", "[", "{", "%00"),
    *("@/nonexistent", "@/", "/proc/self/mem", "/dev/full", "unknown-one"),
)
#: Command -> the arguments that it cannot do without; the odd value takes the place of one.
NEEDED = {
    "activate": ("f", "d"),
    "completion": ("bash",),
    "keys create": ("--name=n", "--scope=functions.read"),
    "migrate": ("--from=http://127.0.0.1:1", "--other-project=p", "--other-key=k"),
    "service": ("docker",),
    "token": ("--user=u",),
    "vars": ("f", "set", "A=1"),
    **dict.fromkeys(("run", "show", "deployments", "rollback", "drain", "replay"), ("f",)),
    **dict.fromkeys(("deploy", "keys delete"), ("f",)),
    "link": ("http://127.0.0.1:1",),
    **dict.fromkeys(("backup", "restore"), ("missing/file",)),
}
#: Commands that serve until a signal, or look at the whole machine, when a value is good.
WITHOUT_END = frozenset({"serve", "dev", "demo", "doctor"})
#: Parameters whose empty text means something: a body, a note, no filter.
MAY_BE_EMPTY = {"body", "message", "since", "text", "words"}


def commands(
    group: click.Group = main, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield " ".join((*above, name)), command


COMMANDS = dict(commands())


def texts(command: click.Command) -> Iterator[click.Parameter]:
    """Yield the parameters that take a text."""
    for param in command.params:
        if not getattr(param, "is_flag", False):
            yield param


def given(name: str, param: click.Parameter, value: str) -> list[str]:
    """Return the words of a command with this value of a parameter."""
    needed = NEEDED.get(name, ())
    options = [word for word in needed if word.startswith("--")]
    plain = [word for word in needed if not word.startswith("--")]
    if isinstance(param, click.Option):
        option = param.opts[-1]
        options = [word for word in options if not word.startswith(f"{option}=")]
        joined = f"{option}={value}" if option.startswith("--") else f"{option}{value}"
        return [*name.split(), *options, joined, "--", *plain]
    arguments = [one.name for one in COMMANDS[name].params if isinstance(one, click.Argument)]
    at = arguments.index(param.name)
    return [*name.split(), *options, "--", *plain[:at], value, *plain[at + 1 :]]


def refusal(done: Result) -> str:
    """Return the line that ends the command. Raises AssertionError for a traceback."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.output.strip().splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_text_is_no_default(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of a script may be unset: `--key "$KEY"`, `minifn deploy "$FOLDER"`."""
    monkeypatch.chdir(tmp_path)
    for param in texts(COMMANDS[name]):
        if param.name in MAY_BE_EMPTY or (isinstance(param, click.Option) and param.opts == ["-n"]):
            continue
        words = given(name, param, "")
        done = CliRunner().invoke(main, words, input="")
        assert (done.exit_code, "Traceback" in done.output) == (2, False), (words, done.output)
        shown = (
            param.opts[-1]
            if isinstance(param, click.Option)
            else param.make_metavar(click.Context(COMMANDS[name]))
        )
        assert shown.strip("[].") in refusal(done), words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_END))
def test_odd_texts_are_refused_in_one_line(
    name: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here.folder)
    for param in texts(COMMANDS[name]):
        for value in ODD:
            words = given(name, param, value)
            done = CliRunner().invoke(main, words, input="", env={"HOME": str(here.folder)})
            line = refusal(done) if done.output else ""
            assert done.exit_code in (0, 1, 2), words
            if done.exit_code:
                assert line.startswith(("minifn: ", "Error: ")), (words, done.output)
                assert line.isprintable(), words


@pytest.mark.parametrize(
    "url", ["http://[", "http://x:99999", "http://x:0", "http://:80", "ftp://x", "x:80", "//x", ""]
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(BadAddress, match="--server must be an address such as"):
        address(url, "--server")


@pytest.mark.parametrize(
    "url", ["http://u:hidden@x", "http://u:hidden@x:99999", "u:hidden@[", "ftp://u:hidden@x"]
)
def test_a_password_of_an_address_is_not_shown(url: str) -> None:
    with pytest.raises(BadAddress, match="--server holds a password") as refused:
        address(url, "--server")
    assert "hidden" not in str(refused.value)
