"""The argv that engines make of a command; nothing is started."""

from pathlib import Path

import pytest

from minifn.sandbox.command import (
    PRIVATE_TMP,
    Bind,
    Command,
    Confinement,
    EngineUnavailable,
    Limits,
    Network,
)
from minifn.sandbox.engines.argv import Programs
from minifn.sandbox.engines.bwrap import BwrapEngine, Layout
from minifn.sandbox.engines.none import NoEngine
from minifn.sandbox.engines.process import ProcessEngine
from minifn.sandbox.launcher.messages import FIRST_DATA_DESCRIPTOR
from minifn.sandbox.spawn_message import spawn_message

PROGRAMS = Programs(setpriv="/usr/bin/setpriv", prlimit="/usr/bin/prlimit")
SECRET = "s3cret"
CODE = Bind(source=Path("/srv/data/builds/d1"), target="/fn")


def bwrap(uid: int = 1000, nested: bool = True) -> BwrapEngine:
    layout = Layout(visible=("/usr", "/etc/ssl"), links=(("usr/bin", "/bin"),))
    return BwrapEngine(
        bwrap="/usr/bin/bwrap",
        programs=PROGRAMS,
        layout=layout,
        seccomp=b"F",
        uid=uid,
        nested=nested,
    )


def command(**changes: object) -> Command:
    values: dict[str, object] = {
        "argv": ("python3", "main.py"),
        "env": {"PATH": "/usr/bin", "TOKEN": SECRET},
        "cwd": "/fn",
        "binds": (CODE,),
        "limits": Limits(
            memory_bytes=2**28, processes=20, open_files=64, file_bytes=1000, tmp_bytes=5000
        ),
        "uid": 20007,
        **changes,
    }
    return Command(**values)  # type: ignore[arg-type]


def options(data: tuple[bytes, ...]) -> list[str]:
    return data[0].decode().split("\0")[:-1]


def has(items: list[str], *wanted: str) -> bool:
    return any(tuple(items[at : at + len(wanted)]) == wanted for at in range(len(items)))


def test_bwrap_as_a_plain_user() -> None:
    wrapped = bwrap().wrap(command())
    found = options(wrapped.data)
    assert "--unshare-user" in found
    assert "--disable-userns" in found
    assert "--cap-add" not in found
    assert wrapped.uid == 0
    assert wrapped.namespaced
    assert wrapped.private_tmp
    assert wrapped.argv[:4] == ("/usr/bin/bwrap", "--args", str(FIRST_DATA_DESCRIPTOR), "--")
    assert wrapped.argv[4:] == (
        *(
            "/usr/bin/prlimit",
            "--core=0",
            "--sigpending=256",
            "--nofile=64",
            f"--data={2**28}",
            "--fsize=1000",
            "--nproc=20",
            "--",
        ),
        *("python3", "main.py"),
    )


def test_a_language_may_reserve_more_than_it_uses() -> None:
    limits = Limits(memory_bytes=2**28, reserved_bytes=2**29)
    for engine in (bwrap(), ProcessEngine(programs=PROGRAMS, root=False)):
        wrapped = engine.wrap(command(limits=limits))
        assert f"--data={2**28 + 2**29}" in wrapped.argv
        message = spawn_message(wrapped, 1, 0, "cookie", "/tmp/x")
        # The watchdog and the control group count what is used.
        assert message["memory_bytes"] == 2**28
    unlimited = ProcessEngine(programs=PROGRAMS, root=False).wrap(
        command(limits=Limits(reserved_bytes=2**29))
    )
    assert not [word for word in unlimited.argv if word.startswith("--data")]


def test_the_temporary_directory_may_stand_in_arguments_and_variables() -> None:
    for engine, place in ((bwrap(), "/tmp"), (NoEngine(), "/run/7")):
        asked = command(argv=("cc", f"-o{engine.tmp}/x"), env={"CACHE": f"{engine.tmp}/c"})
        message = spawn_message(engine.wrap(asked), 1, 0, "cookie", "/run/7")
        assert f"-o{place}/x" in message["argv"]
        assert message["env"]["CACHE"] == f"{place}/c"


def test_bwrap_as_root_drops_to_the_functions_uid() -> None:
    wrapped = bwrap(uid=0).wrap(command())
    assert "--unshare-user" not in options(wrapped.data)
    assert has(
        list(wrapped.argv),
        "/usr/bin/setpriv",
        "--reuid",
        "20007",
        "--regid",
        "20007",
        "--clear-groups",
    )
    assert "--bounding-set=-all" in wrapped.argv
    assert wrapped.uid == 20007
    assert b"fn:x:20007:20007" in wrapped.data[1]


def test_bwrap_knows_its_own_host_name() -> None:
    wrapped = bwrap().wrap(command())
    found = options(wrapped.data)
    number = int(found[found.index("/etc/hosts") - 1])
    assert wrapped.data[number - FIRST_DATA_DESCRIPTOR].endswith(b"\n127.0.0.1 fn\n")
    assert has(found, "--hostname", "fn")


def test_bwrap_without_a_uid_gets_no_capability() -> None:
    wrapped = bwrap(uid=0).wrap(command(uid=0))
    assert "--cap-add" not in options(wrapped.data)
    assert "/usr/bin/setpriv" not in wrapped.argv


def test_bwrap_keeps_secrets_and_host_paths_out_of_the_argv() -> None:
    wrapped = bwrap().wrap(command())
    assert not any(SECRET in item or "/srv" in item for item in wrapped.argv)
    assert SECRET.encode() not in wrapped.data[0]
    assert wrapped.env == {"PATH": "/usr/bin", "TOKEN": SECRET, "HOME": "/tmp", "TMPDIR": "/tmp"}


def test_bwrap_shows_only_what_is_bound() -> None:
    found = options(bwrap().wrap(command()).data)
    assert has(found, "--ro-bind", "/srv/data/builds/d1", "/fn")
    assert has(found, "--remount-ro", "/", "--remount-ro", "/dev")
    assert has(found, "--bind", PRIVATE_TMP, "/tmp")
    assert "/srv" not in found
    assert "/srv/data" not in found
    assert found.count("--bind") == 1


def test_bwrap_makes_passable_parents_of_a_target_and_none_inside_one() -> None:
    binds = (
        Bind(source=Path("/a/inner"), target="/opt/deep/fn/vendor/x"),
        Bind(source=Path("/a/fn"), target="/opt/deep/fn", writable=True),
    )
    found = options(bwrap().wrap(command(binds=binds)).data)
    assert has(
        found,
        "--perms",
        "0755",
        "--dir",
        "/opt",
        "--perms",
        "0755",
        "--dir",
        "/opt/deep",
        "--bind",
        "/a/fn",
    )
    assert "/opt/deep/fn/vendor" not in found
    assert found.index("/a/fn") < found.index("/a/inner")


def test_bwrap_takes_the_network_away() -> None:
    assert "--unshare-net" in options(bwrap().wrap(command(network=Network.NONE)).data)
    assert "--unshare-net" not in options(bwrap().wrap(command()).data)


def test_bwrap_gets_its_data_by_descriptor() -> None:
    wrapped = bwrap().wrap(command())
    found = options(wrapped.data)
    for option, content in (("--seccomp", b"F"), ("--ro-bind-data", wrapped.data[1])):
        number = int(found[found.index(option) + 1])
        assert wrapped.data[number - FIRST_DATA_DESCRIPTOR] == content


def test_process_as_root() -> None:
    engine = ProcessEngine(programs=PROGRAMS, root=True, private_root=Path("/srv/data/builds"))
    wrapped = engine.wrap(command(cwd=engine.place(CODE)))
    assert has(
        list(wrapped.argv),
        "--reuid",
        "20007",
        "--regid",
        "20007",
        "--clear-groups",
        "--bounding-set=-all",
    )
    assert has(list(wrapped.argv), "--pdeathsig", "KILL")
    assert "--nproc=20" in wrapped.argv
    assert wrapped.private_paths == ("/srv/data/builds/d1",)
    assert wrapped.private_tmp
    assert wrapped.uid == 20007
    assert wrapped.cwd == "/srv/data/builds/d1"


def test_process_closes_only_directories_of_builds() -> None:
    engine = ProcessEngine(programs=PROGRAMS, root=True, private_root=Path("/srv/data/builds"))
    binds = (
        Bind(source=Path("/usr/lib/python3"), target="/usr/lib/python3"),
        Bind(source=Path("/srv/data"), target="/x"),
    )
    assert engine.wrap(command(binds=binds)).private_paths == ()
    assert engine.wrap(command(uid=0)).private_paths == ()


def test_process_as_a_plain_user_counts_no_processes_by_uid() -> None:
    wrapped = ProcessEngine(programs=PROGRAMS, root=False).wrap(command())
    assert wrapped.argv[:5] == ("/usr/bin/setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--")
    assert not any("nproc" in item for item in wrapped.argv)
    assert wrapped.uid == 0


def test_process_confines_itself_where_the_kernel_can() -> None:
    engine = ProcessEngine(
        programs=PROGRAMS, root=False, readable=("/usr",), landlock=True, seccomp=b"F"
    )
    cache = Bind(source=Path("/srv/data/builds/.cache/f1"), target="/cache", writable=True)
    wrapped = engine.wrap(command(binds=(CODE, cache)))
    assert wrapped.confinement == Confinement(
        files=True,
        readable=("/usr", "/srv/data/builds/d1"),
        writable=("/srv/data/builds/.cache/f1",),
        filter=b"F",
    )
    assert wrapped.argv[0] == "/usr/bin/prlimit"
    assert ProcessEngine(programs=PROGRAMS, root=False).wrap(command()).confinement is None


def test_process_without_util_linux_is_a_plain_process() -> None:
    assert ProcessEngine(programs=Programs(), root=False).wrap(command()).argv == (
        "python3",
        "main.py",
    )


def test_process_refuses_a_command_without_network() -> None:
    with pytest.raises(EngineUnavailable, match="network"):
        ProcessEngine(programs=PROGRAMS, root=False).wrap(command(network=Network.NONE))


def test_without_limits_there_are_no_options() -> None:
    limits = Limits(processes=0, open_files=0, tmp_bytes=0)
    wrapped = bwrap().wrap(command(limits=limits))
    assert wrapped.argv[4:8] == ("/usr/bin/prlimit", "--core=0", "--sigpending=256", "--")


def test_none_changes_nothing() -> None:
    wrapped = NoEngine().wrap(command())
    assert wrapped.argv == ("python3", "main.py")
    assert NoEngine().place(CODE) == "/srv/data/builds/d1"
