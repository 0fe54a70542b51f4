"""Turns a confined command into the message that asks the launcher to start it."""

import dataclasses
import json

from .command import PRIVATE_TMP, Confinement, Limits, Wrapped
from .launcher.messages import Adopt, Confine, Spawn
from .launcher.tree import COOKIE


def spawn_message(wrapped: Wrapped, number: int, descriptors: int, cookie: str, tmp: str) -> Spawn:
    """Return the message for a command.

    `descriptors`: how many ride along. `tmp`: the private temporary directory, "" for none.
    """
    limits = wrapped.limits
    if not wrapped.tmp_inside:
        wrapped = _with_tmp(wrapped, tmp)
    env, data = _env_and_data(wrapped, cookie, tmp)
    return {
        "op": "spawn",
        "id": number,
        "argv": list(wrapped.argv),
        "env": env,
        "cwd": wrapped.cwd,
        "uid": wrapped.uid,
        "descriptors": descriptors,
        "data": [content.decode("latin-1") for content in data],
        "confine": _confine(wrapped.confinement) if wrapped.confinement else None,
        "namespaced": wrapped.namespaced,
        "cookie": cookie,
        "tmp": tmp,
        "tmp_inside": wrapped.tmp_inside or tmp,
        "private_paths": list(wrapped.private_paths),
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "tmp_bytes": limits.tmp_bytes,
        "cpus": limits.cpus,
        "nice": limits.nice,
        "oom_score_adj": limits.oom_score_adj,
    }


def adopt_message(limits: Limits, number: int, tree: int, pid: int, cookie: str) -> Adopt:
    """Return the message that makes a fork of the command `tree` a tree of its own."""
    return {
        "op": "adopt",
        "id": number,
        "tree": tree,
        "pid": pid,
        "cookie": cookie,
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "cpus": limits.cpus,
        "nice": limits.nice,
        "oom_score_adj": limits.oom_score_adj,
    }


def _with_tmp(wrapped: Wrapped, tmp: str) -> Wrapped:
    """Return the command with the private temporary directory in its arguments and variables."""
    return dataclasses.replace(
        wrapped,
        argv=tuple(word.replace(PRIVATE_TMP, tmp) for word in wrapped.argv),
        env={name: value.replace(PRIVATE_TMP, tmp) for name, value in wrapped.env.items()},
    )


def _env_and_data(wrapped: Wrapped, cookie: str, tmp: str) -> tuple[dict[str, str], list[bytes]]:
    """Return the environment and the data with which the program of a command starts."""
    # Also with a namespace: bwrap killed in its first milliseconds can leave an init behind.
    mark = {COOKIE: cookie}
    env = {**({"HOME": tmp, "TMPDIR": tmp} if tmp else {}), **wrapped.env, **mark}
    if wrapped.supervision is None:
        return env, _data(wrapped, tmp)
    supervision = {**wrapped.supervision, "env": env, "tmp": tmp}
    return {"HOME": "/", **mark}, [
        json.dumps(supervision).replace(PRIVATE_TMP, json.dumps(tmp)[1:-1]).encode()
    ]


def _data(wrapped: Wrapped, tmp: str) -> list[bytes]:
    """Return the data, with the private temporary directory named in the first."""
    if not wrapped.tmp_inside:
        return list(wrapped.data)
    first, *others = wrapped.data
    return [first.replace(PRIVATE_TMP.encode(), tmp.encode()), *others]


def _confine(confinement: Confinement) -> Confine:
    return {
        "files": confinement.files,
        "readable": list(confinement.readable),
        "writable": list(confinement.writable),
        "filter": confinement.filter.decode("latin-1"),
    }
