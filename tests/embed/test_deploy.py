"""`Minifn.deploy`: settings by the API's rules, variables, builds and errors."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from minifn import (
    ArgumentInvalid,
    BuildFailed,
    DeploymentNotFound,
    FunctionNotFound,
    NotRunning,
    SyncMinifn,
)
from minifn.api.operations.functions import CreateFunction
from minifn.api.wire.params import fields_of
from minifn.embed.options import FunctionOptions


def test_a_function_is_created_and_answers(sync: SyncMinifn, hello: Path) -> None:
    """Runtime and entrypoint come from the folder; the log comes while the build writes it."""
    pieces: list[str] = []
    made = sync.deploy("first", hello, variables={"NAME": "Ada"}, on_log=pieces.append)
    assert made.function.runtime.startswith("python-")
    assert (made.function.entrypoint, made.function.name) == ("main.py", "first")
    assert made.function.deployment_id == made.deployment.id
    assert made.deployment.status == "ready"
    assert "".join(pieces) == made.deployment.build_logs != ""
    assert re.fullmatch(r"http://first\.functions\.localhost:\d+/", made.url)
    assert sync.execute("first").text == "Hello, Ada!\n"


def test_settings_that_are_not_named_stay(sync: SyncMinifn, hello: Path) -> None:
    sync.deploy(
        "kept", hello, runtime="python", execute=("any",), schedule="*/5 * * * *", timeout=7,
        variables={"A": "1", "B": "2"}, secrets={"TOKEN": "hidden"},
    )  # fmt: skip
    changed = sync.deploy("kept", hello, interval=10, name="Kept", variables={"A": "3"}).function
    assert (changed.execute, changed.timeout_seconds, changed.name) == (("any",), 7, "Kept")
    assert (changed.schedule, changed.interval_minutes) == ("", 10)
    assert changed.build_specification == "s-1vcpu-512mb"
    assert sync.deploy("kept", hello, schedule="0 0 * * *").function.interval_minutes == 0
    found = {one.key: (one.value, one.secret) for one in sync.variables("kept")}
    assert found == {"A": ("3", False), "B": ("2", False), "TOKEN": ("hidden", True)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "Invalid `timeout` param: Value must be a valid range between 1 and 900"),
        ({"schedule": "often"}, "Invalid `schedule` param"),
        ({"runtime": "cobol-85"}, "Invalid `runtime` param: Value must be one of (bun-"),
        ({"execute": ["nobody:x"]}, "Invalid `execute` param"),
        ({"scopes": ["everything"]}, "Invalid `scopes` param"),
        ({"schedule": "* * * * *", "interval": 5}, "Invalid `interval` param"),
        ({"variables": {"A-B": "1"}}, "Invalid `key` param"),
    ],
)
def test_the_api_s_rules_and_words_hold(
    sync: SyncMinifn, hello: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentInvalid) as error:
        sync.deploy("refused", hello, **options)
    assert str(error.value).startswith(message)
    assert "refused" not in [function.id for function in sync.functions()]


def test_other_wrong_arguments_are_named(sync: SyncMinifn, hello: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'timeot'"):
        sync.deploy("wrong", hello, timeot=3)  # type: ignore[call-arg]
    with pytest.raises(ArgumentInvalid, match="nowhere is not a folder"):
        sync.deploy("wrong", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentInvalid, match=r"empty has no entry file such as main\.py"):
        sync.deploy("wrong", tmp_path / "empty")
    with pytest.raises(ArgumentInvalid, match="no entry file of PHP"):
        sync.deploy("wrong", hello, runtime="php-8.3")
    with pytest.raises(ArgumentInvalid, match="has no file to pack"):
        sync.deploy("wrong", hello, ignore=["*"])
    with pytest.raises(ArgumentInvalid, match="functionId"):
        sync.deploy("-", hello)


def test_every_setting_of_the_api_is_a_keyword() -> None:
    names = {field.name for field in fields_of(CreateFunction)}
    assert FunctionOptions.__annotations__.keys() == names - {"function_id"}


def test_a_failed_build_raises_the_end_of_its_log(sync: SyncMinifn, hello: Path) -> None:
    """The function keeps the deployment that ran before."""
    sync.deploy("breaks", hello)
    (hello / "main.py").write_text("def main(context:\n")
    with pytest.raises(BuildFailed, match=r"(?s)^The build of breaks failed:.*main\.py") as error:
        sync.deploy("breaks", hello)
    assert error.value.deployment.status == "failed"
    assert len(error.value.message.splitlines()) <= 13
    assert sync.execute("breaks", body="Bob").text == "Hello, Bob!\n"
    (hello / "main.py").write_text("def main(context):\n    return context.res.text('new')\n")
    sync.deploy("breaks", hello, activate=False)
    assert sync.execute("breaks", body="Bob").text == "Hello, Bob!\n"


def test_code_that_runs_already_is_not_built_again(sync: SyncMinifn, hello: Path) -> None:
    """An app deploys at each start. Other code, settings and variables are built."""
    built = [sync.deploy("same", hello, variables={"NAME": "Ada"}).deployment.id]
    again = sync.deploy("same", hello, variables={"NAME": "Ada"}, timeout=20)
    assert (again.deployment.id, again.function.timeout_seconds) == (built[0], 20)
    (hello / "other.py").write_text("")
    built.append(sync.deploy("same", hello).deployment.id)
    built.append(sync.deploy("same", hello, variables={"NAME": "Bob"}).deployment.id)
    sync.set_variables("same", {"NAME": "Eve"})
    built.append(sync.deploy("same", hello).deployment.id)
    built.append(sync.deploy("same", hello, commands="true").deployment.id)
    built.append(sync.deploy("same", hello, rebuild=True).deployment.id)
    assert len(set(built)) == 6
    unused = sync.deploy("same", hello, activate=False).deployment.id
    assert unused != sync.deploy("same", hello).deployment.id == built[-1]


def test_a_deployment_that_is_deleted_while_it_is_built(sync: SyncMinifn, hello: Path) -> None:
    """`deploy` ends, as it does when the server stops."""
    begun = threading.Event()
    errors: list[Exception] = []

    def deploy() -> None:
        try:
            sync.deploy("slow", hello, commands="echo begun; sleep 60", on_log=saw)
        except DeploymentNotFound as error:
            errors.append(error)

    def saw(text: str) -> None:
        if "begun" in text:
            begun.set()

    thread = threading.Thread(target=deploy)
    thread.start()
    assert begun.wait(30)
    sync.delete("slow")
    thread.join(30)
    assert len(errors) == 1
    with pytest.raises(FunctionNotFound):
        sync.execute("slow")


def test_a_stop_ends_a_deployment(sync: SyncMinifn, hello: Path, data: Path) -> None:
    begun = threading.Event()
    ends: list[type[Exception]] = []
    twin = SyncMinifn(type(sync.minifn.config)(data=data))

    def deploy() -> None:
        try:
            twin.deploy("slow", hello, commands="sleep 60", on_log=lambda text: begun.set())
        except Exception as error:
            ends.append(type(error))

    thread = threading.Thread(target=deploy)
    thread.start()
    assert begun.wait(30)
    twin.close()
    thread.join(30)
    assert ends == [NotRunning]
