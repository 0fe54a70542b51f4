"""Parameters, declared once for each operation and read from its path, query string or body.

An operation's parameters are one `Params` record. A field's wire name is its camelCase name, its
rule is the `Kind` in its annotation, and a field without a default is required:

    class CreateFunction(Params):
        function_id: Annotated[str, CustomId()]
        timeout: Annotated[int, Integer(1, maximum=lambda limits: limits.timeout_max_seconds)] = 15

Messages are worded as in Appwrite's `utopia-php/http` and `utopia-php/validators`.
"""

import functools
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from minifn.errors import ArgumentInvalid
from minifn.ids import is_id, new_id
from minifn.limits import PARAM_LEVELS_MAX, PARAM_NAME_CHARS_MAX

#: A nested name in a query string or form: `queries[0]`, `queries[]`, `headers[x-a]`.
_NESTED_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_INDEX = re.compile(r"[0-9]{1,9}")
_INTEGER_TEXT = re.compile(r"[+-]?[0-9]{1,18}")
_LOOSE_BOOLEANS: dict[Any, bool] = {"true": True, "1": True, "false": False, "0": False}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of parameters that depend on the configuration."""

    timeout_max_seconds: int = 900
    #: Slugs, smallest first.
    specifications: tuple[str, ...] = ()
    #: Ids such as `python-3.11`.
    runtimes: frozenset[str] = frozenset()


class Kind(Protocol):
    """A rule for the values of a parameter."""

    def check(self, value: Any, limits: Limits) -> Any:
        """Return the value for the handler. Raises ValueError with the broken rule as its text."""

    def schema(self, limits: Limits) -> dict[str, Any]:
        """Return the rule as an OpenAPI schema."""


class Params(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The checked parameters of one request."""


class NoParams(Params, frozen=True, kw_only=True):
    """The parameters of an operation that has none."""


class Text:
    """A string of `minimum` to `maximum` characters."""

    def __init__(self, maximum: int, minimum: int = 1) -> None:
        self._maximum = maximum
        self._minimum = minimum

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and self._minimum <= len(value) <= self._maximum:
            return value
        least = f" and at least {self._minimum} chars" if self._minimum else ""
        raise ValueError(
            f"Value must be a valid string{least} and no longer than {self._maximum} chars"
        )

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "minLength": self._minimum, "maxLength": self._maximum}


class Integer:
    """A whole number, or one as a decimal string. `maximum` can be one of the limits."""

    def __init__(self, minimum: int, maximum: int | Callable[[Limits], int]) -> None:
        self._minimum = minimum
        self._maximum: Callable[[Limits], int] = (
            maximum if callable(maximum) else lambda limits: maximum
        )

    def check(self, value: Any, limits: Limits) -> int:
        if isinstance(value, str) and _INTEGER_TEXT.fullmatch(value):
            value = int(value)
        maximum = self._maximum(limits)
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self._minimum <= value <= maximum
        ):
            return value
        raise ValueError(f"Value must be a valid range between {self._minimum:,} and {maximum:,}")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "integer", "minimum": self._minimum, "maximum": self._maximum(limits)}


class Boolean:
    """True or false; a `loose` one also accepts "true", "false", 1, 0, "1" and "0"."""

    def __init__(self, loose: bool = False) -> None:
        self._loose = loose

    def check(self, value: Any, limits: Limits) -> bool:
        if isinstance(value, bool):
            return value
        if self._loose:
            if isinstance(value, str) and value in _LOOSE_BOOLEANS:
                return _LOOSE_BOOLEANS[value]
            if isinstance(value, int) and value in (0, 1):
                return bool(value)
        raise ValueError("Value must be a valid boolean")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "boolean"}


class OneOf:
    """One of several strings. `choices` can be one of the limits."""

    def __init__(self, choices: Iterable[str] | Callable[[Limits], Iterable[str]]) -> None:
        fixed = () if callable(choices) else tuple(choices)
        self._choices = choices if callable(choices) else lambda limits: fixed

    def check(self, value: Any, limits: Limits) -> str:
        choices = self._choices(limits)
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"Value must be one of ({', '.join(sorted(choices))})")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "enum": sorted(self._choices(limits))}


class Id:
    """The id of a record."""

    _rule = (
        "UID must contain at most 36 chars. Valid chars are a-z, A-Z, 0-9, period, hyphen, and"
        " underscore. Can't start with a special char"
    )

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and is_id(value):
            return value
        raise ValueError(self._rule)

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,35}$"}


class CustomId(Id):
    """The id for a new record; `unique()` asks the server to make one."""

    def check(self, value: Any, limits: Limits) -> str:
        return new_id() if value == "unique()" else super().check(value, limits)

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "description": "An id, or unique() for a generated one."}


class ListOf:
    """A list of up to `maximum` values of one kind, as a tuple."""

    def __init__(self, kind: Kind, maximum: int = 100) -> None:
        self._kind = kind
        self._maximum = maximum

    def check(self, value: Any, limits: Limits) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("Value must be a valid array")
        if len(value) > self._maximum:
            raise ValueError(f"Value must be a valid array no longer than {self._maximum} items")
        try:
            return tuple(self._kind.check(item, limits) for item in value)
        except ValueError as exc:
            raise ValueError(f"Value must be a valid array and {exc}") from exc

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "array", "maxItems": self._maximum, "items": self._kind.schema(limits)}


class Field(msgspec.Struct, frozen=True):
    """One parameter of an operation."""

    name: str
    wire_name: str
    required: bool
    kind: Kind
    #: Value for the handler when none was sent; None for a required parameter.
    default: Any = None


@functools.cache
def fields_of(declaration: type[Params]) -> tuple[Field, ...]:
    """Return the parameters of a declaration, in order."""
    annotations = typing.get_type_hints(declaration, include_extras=True)
    return tuple(
        Field(
            item.name,
            item.encode_name,
            item.default is msgspec.NODEFAULT and item.default_factory is msgspec.NODEFAULT,
            typing.cast("Kind", annotations[item.name].__metadata__[0]),
            None if item.default is msgspec.NODEFAULT else item.default,
        )
        for item in msgspec.structs.fields(declaration)
    )


P = typing.TypeVar("P", bound=Params)


class Reader(typing.Generic[P]):
    """Checks the parameters of requests against one declaration."""

    def __init__(self, declaration: type[P], limits: Limits) -> None:
        self._declaration = declaration
        self._limits = limits
        self._fields = [
            (item.name, item.wire_name, item.required, item.kind.check)
            for item in fields_of(declaration)
        ]

    def read(self, given: Mapping[str, Any]) -> P:
        """Return the record of the given values; null counts as absent, unknown names are ignored.

        Raises ArgumentInvalid for the first parameter, in declaration order, that is missing or
        breaks its rule.
        """
        limits = self._limits
        values = {}
        for name, wire_name, required, check in self._fields:
            value = given.get(wire_name)
            if value is None:
                if required:
                    raise ArgumentInvalid.missing(wire_name)
                continue
            try:
                values[name] = check(value, limits)
            except ValueError as exc:
                raise ArgumentInvalid.for_param(wire_name, str(exc)) from exc
        return self._declaration(**values)


def nest(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return form or query pairs as PHP nests them; a later plain name wins over an earlier one.

    `q[]=a&q[]=b` and `q[0]=a&q[1]=b` are lists, `h[x]=y` is an object. Indexes order a list and may
    have gaps. Raises ArgumentInvalid for names that are too long or nested too deep.
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if len(name) > PARAM_NAME_CHARS_MAX:
            raise ArgumentInvalid(
                f"Param names have at most {PARAM_NAME_CHARS_MAX:,} chars: {name[:100]}"
            )
        match = _NESTED_NAME.fullmatch(name)
        if match is None:
            values[name] = value
            continue
        keys = match[2][1:-1].split("][")
        if len(keys) > PARAM_LEVELS_MAX:
            raise ArgumentInvalid(f"Param names nest at most {PARAM_LEVELS_MAX} deep: {name[:100]}")
        _place(values, [match[1], *keys], value)
    return {name: _listed(value) for name, value in values.items()}


def _place(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    last = keys[-1] if keys[-1] else str(len(values))
    values[last] = value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(item) for key, item in value.items()}
    if inner and all(_INDEX.fullmatch(key) for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
