"""The keywords of `deploy`, checked by the rules of the API and completed from the folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from minifn.api.operations import functions as api
from minifn.api.operations.variables import CreateVariable
from minifn.api.wire import responses
from minifn.api.wire.formats import Shape
from minifn.api.wire.operation import limits_of
from minifn.api.wire.params import Params, Reader, fields_of
from minifn.errors import ArgumentInvalid
from minifn.languages.entry_files import EntryFile, entry_files
from minifn.models import Function
from minifn.parts import Parts
from minifn.services.functions import FunctionSettings

P = TypeVar("P", bound=Params)
_WIRE_NAMES = {field.name: field.wire_name for field in fields_of(api.CreateFunction)}
#: Settings whose stored value an update keeps when it is not told another one.
_KEPT = ("runtime", "specification", "buildSpecification", "runtimeSpecification")
#: Settings that exclude each other: naming one takes the other back.
_EITHER = {"schedule": ("interval", 0), "interval": ("schedule", "")}


def new_settings(
    parts: Parts, function_id: str, folder: Path, given: Mapping[str, Any]
) -> FunctionSettings:
    """Return the settings of a new function: those that are given, defaults, and from `folder`.

    Raises ArgumentInvalid, and TypeError for a setting that there is not.
    """
    wire = {"name": function_id, **_wire(given)}
    _complete(parts, folder, wire)
    params = _read(parts, api.CreateFunction, {**wire, "functionId": function_id})
    limits = limits_of(parts)
    return api.settings_of(params, limits, api.default_specification(limits))


def changed_settings(
    parts: Parts, function: Function, folder: Path, given: Mapping[str, Any]
) -> FunctionSettings:
    """Return the settings of a function with those that are given changed. Raises as above."""
    changes = _wire(given)
    wire = responses.function(function, (), Shape.FULL)
    wire = {name: wire[name] for name in _WIRE_NAMES.values() if name in wire}
    for name in _KEPT:
        wire.pop(name, None)
    for name in changes.keys() & _EITHER.keys():
        other, nothing = _EITHER[name]
        wire[other] = nothing
    wire.update(changes)
    if "runtime" in changes or not wire["entrypoint"]:
        _complete(parts, folder, wire, function.runtime)
    params = _read(parts, api.UpdateFunction, {**wire, "functionId": function.id})
    return api.settings_of(params, limits_of(parts), None)


def check_variables(parts: Parts, function_id: str, variables: Mapping[str, str]) -> None:
    """Raise ArgumentInvalid for a variable that the API refuses."""
    for key, value in variables.items():
        given = {"functionId": function_id, "variableId": "unique()", "key": key, "value": value}
        _read(parts, CreateVariable, given)


def _wire(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their wire names, with lists for tuples."""
    for name in given:
        if name not in _WIRE_NAMES or name == "function_id":
            raise TypeError(f"deploy() got an unexpected keyword argument {name!r}")
    return {_WIRE_NAMES[name]: _listed(value) for name, value in given.items() if value is not None}


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _read(parts: Parts, declaration: type[P], given: Mapping[str, Any]) -> P:
    return Reader(declaration, limits_of(parts)).read(
        {name: _listed(value) for name, value in given.items()}
    )


def _complete(parts: Parts, folder: Path, wire: dict[str, Any], stored_runtime: str = "") -> None:
    """Add the runtime and the entrypoint that the folder shows, where they are not given."""
    newest = {runtime.key: runtime.id for runtime in parts.runtimes.runnable()}
    named = wire.get("runtime") or stored_runtime
    if named in newest:
        wire["runtime"] = named = newest[named]
    found = entry_files(folder)
    known = parts.runtimes.get(named)
    if not named:
        entry = _runnable(folder, found, newest)
        wire["runtime"] = newest[entry.family]
    elif known is None or wire.get("entrypoint"):
        return
    else:
        entries = [one for one in found if one.family == known.key]
        if not entries:
            raise ArgumentInvalid(f"{folder} has no entry file of {known.name}: name `entrypoint`.")
        entry = entries[0]
    wire["entrypoint"] = wire.get("entrypoint") or entry.entrypoint


def _runnable(folder: Path, found: Sequence[EntryFile], newest: Mapping[str, str]) -> EntryFile:
    for entry in found:
        if entry.family in newest:
            return entry
    if not found:
        raise ArgumentInvalid(
            f"{folder} has no entry file such as main.py or src/main.js: name `runtime` and"
            " `entrypoint`."
        )
    names = _joined(f"{entry.entrypoint} ({entry.family})" for entry in found)
    raise ArgumentInvalid(f"{folder} has {names}, which cannot run here: see `minifn doctor`.")


def _joined(texts: Iterable[str]) -> str:
    return " or ".join(texts)
