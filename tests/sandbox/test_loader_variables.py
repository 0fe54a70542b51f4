"""A function's variables never reach the loader of the confining programs.

These run with the server's rights.
"""

import subprocess

from minifn.sandbox.command import Command
from minifn.sandbox.engines.argv import (
    LOADER_ENV,
    LOADER_PROGRAM,
    LOADER_VARIABLES,
    Programs,
    confining_env,
    loader_argv,
)
from minifn.sandbox.engines.bwrap import BwrapEngine, Layout
from minifn.sandbox.engines.process import ProcessEngine

PROGRAMS = Programs(setpriv="/usr/bin/setpriv", prlimit="/usr/bin/prlimit")
COMMAND = Command(
    argv=("/bin/true",),
    env={"PATH": "/usr/bin", "LD_PRELOAD": "/fn/evil.so", "GLIBC_TUNABLES": "x=y"},
    uid=20_001,
)


def test_loader_variables_are_set_after_confinement_only() -> None:
    """The prefix that sets them is the last one, and no program before it has them."""
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
        assert wrapped.argv[-5:] == (*LOADER_PROGRAM, "/bin/true")
        assert wrapped.argv.index("/usr/bin/prlimit") < wrapped.argv.index("/bin/sh")
        assert not [word for word in wrapped.argv if "evil" in word], (
            "other users can read arguments"
        )


def test_other_commands_need_no_prefix() -> None:
    """A command without loader variables stays as it is."""
    wrapped = ProcessEngine(programs=Programs(), root=False).wrap(
        Command(argv=("/bin/true",), env={"A": "1"})
    )
    assert wrapped.argv == ("/bin/true",)
    assert wrapped.env == {"A": "1"}


def test_any_value_arrives_as_it_is() -> None:
    values = {"LD_SDK_KEY": 'it\'s $HOME `id` "x"\n=\\', "MALLOC_X": "", "A": "plain"}
    argv = (*loader_argv(values), "/usr/bin/env", "-0")
    shown = subprocess.run(
        argv, env=confining_env(values), capture_output=True, check=True
    ).stdout.decode()
    found = dict(line.split("=", 1) for line in shown.split("\0") if line)
    assert {name: found.get(name) for name in values} == values
    assert LOADER_ENV not in found


def test_names_that_no_loader_knows_stay_in_the_environment() -> None:
    odd = {"LD_no identifier": "v"}
    assert (loader_argv(odd), confining_env(odd)) == ((), odd)
