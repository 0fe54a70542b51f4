"""A function's variables must not reach the loader of the programs that confine it, which have the server's rights."""

import shutil
import subprocess

from minifn.sandbox.command import Command
from minifn.sandbox.engines import LOADER_VARIABLES, BwrapEngine, Layout, ProcessEngine, Programs

PROGRAMS = Programs(setpriv="/usr/bin/setpriv", prlimit="/usr/bin/prlimit")
COMMAND = Command(
    argv=("/bin/true",), env={"PATH": "/usr/bin", "LD_PRELOAD": "/fn/evil.so", "GLIBC_TUNABLES": "x=y"}, uid=20_001
)


def test_loader_variables_are_set_after_confinement_only() -> None:
    """By both engines: last of all prefixes, in the environment of none."""
    bwrap = BwrapEngine(
        bwrap="/usr/bin/bwrap",
        programs=PROGRAMS,
        layout=Layout(visible=("/usr",), links=()),
        seccomp=b"",
        uid=0,
        nested=False,
    )
    for engine in (bwrap, ProcessEngine(programs=PROGRAMS, root=True)):
        wrapped = engine.wrap(COMMAND)
        assert not [name for name in wrapped.env if name.startswith(LOADER_VARIABLES)]
        assert wrapped.argv[-4:] == ("/usr/bin/env", "LD_PRELOAD=/fn/evil.so", "GLIBC_TUNABLES=x=y", "/bin/true")
        assert wrapped.argv.index("/usr/bin/prlimit") < wrapped.argv.index("/usr/bin/env")


def test_other_commands_need_no_prefix() -> None:
    """Nothing is added where nothing is dangerous."""
    wrapped = ProcessEngine(programs=Programs(), root=False).wrap(Command(argv=("/bin/true",), env={"A": "1"}))
    assert wrapped.argv == ("/bin/true",)
    assert wrapped.env == {"A": "1"}


def test_env_takes_any_value() -> None:
    """The program that sets them hands on values with blanks, equal signs and newlines."""
    env = shutil.which("env")
    assert env
    value = "a b=c\nd"
    shown = subprocess.run(
        [env, f"LD_X={value}", "/bin/sh", "-c", 'printf %s "$LD_X"'], capture_output=True, check=True, env={}
    )
    assert shown.stdout.decode() == value
