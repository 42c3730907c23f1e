"""Flags for every field of `RunConfig`: one value each for a run, lists and ranges for a sweep."""

import ast
import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_origin

import tyro

from toylab.config import CHOICES, FIELDS, RunConfig

KINDS: dict[str, type] = {
    item.name: get_origin(item.type) or item.type for item in dataclasses.fields(RunConfig)
}  # type: ignore[assignment]
"""Field -> int, float, str or dict."""

MAX_RANGE = 100_000


def settings_class(defaults: Mapping[str, Any], many: bool = False) -> type:
    """A dataclass with the fields of `RunConfig`, from which tyro makes flags.

    Args:
        defaults: field -> value used where its flag is absent.
        many: whether a flag takes several values (``0,0.5,1``, ``0:8``); fields are then tuples, except options.
    """
    fields = []
    for name in FIELDS:
        several = many and KINDS[name] is not dict
        spec = _several(name) if several else _single(name)
        default = (defaults[name],) if several else defaults[name]
        kind = Annotated[Any, spec, tyro.conf.arg(help=field_help()[name])]
        fields.append((name, kind, dataclasses.field(default_factory=functools.partial(_same, default))))
    return dataclasses.make_dataclass("Settings", fields, frozen=True)


def settings_of(flags: Any) -> dict[str, Any]:
    """Field -> value of an instance of `settings_class`."""
    return {name: getattr(flags, name) for name in FIELDS}


@functools.cache
def field_help() -> dict[str, str]:
    """Field of `RunConfig` -> the docstring under it."""
    (record,) = ast.parse(inspect.getsource(RunConfig)).body
    assert isinstance(record, ast.ClassDef)
    help_of = {}
    for field, following in zip(record.body, record.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(field.target, ast.Name)
            help_of[field.target.id] = ast.literal_eval(following.value)
    return help_of


def read_value(kind: type, text: str) -> Any:
    """``text`` as int (1e4 and 10_000 are accepted), float or str.

    Raises:
        ValueError: not a number.
    """
    if kind is str:
        return text
    try:
        number = float(text)
        return int(number) if kind is int and "." not in text and number == int(number) else number
    except OverflowError:
        return number
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole ' if kind is int else ''}number") from None


def read_whole(text: str) -> int:
    """``text`` as a whole number; 1e4 and 10_000 are accepted.

    Raises:
        ValueError: not a whole number.

    >>> read_whole("1e3")
    1000
    """
    value = read_value(int, text)
    if not isinstance(value, int):
        raise ValueError(f"{text!r} is not a whole number")
    return value


def read_values(kind: type, text: str) -> tuple[Any, ...]:
    """Comma-separated values; for whole numbers also ranges ``start:stop[:step]``, stop excluded.

    Raises:
        ValueError: an empty list, a bad range, not a number.

    >>> read_values(int, "0:3,10")
    (0, 1, 2, 10)
    """
    values: list[Any] = []
    for part in text.split(","):
        if kind is int and ":" in part:
            values.extend(_range(part))
        elif part.strip():
            values.append(read_value(kind, part.strip()))
        else:
            raise ValueError(f"{text!r} has an empty item between commas")
    return tuple(dict.fromkeys(values))


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Options from one JSON object, or from ``key=value`` words; a value that is not JSON is taken as text.

    Raises:
        ValueError: neither a JSON object nor ``key=value``.

    >>> read_options(["separation=8.0", "name=left"])
    {'separation': 8.0, 'name': 'left'}
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            return json.loads(words[0])
        except ValueError as error:
            raise ValueError(f"{words[0][:60]!r} is not JSON ({error})") from None
    options = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise ValueError(f"{word[:60]!r} is neither key=value nor a JSON object")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def _range(text: str) -> range:
    try:
        numbers = range(*[int(part) for part in text.split(":")])
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is not a range start:stop or start:stop:step") from None
    if not 0 < len(numbers) <= MAX_RANGE:
        raise ValueError(f"the range {text!r} has {len(numbers)} values, not 1 to {MAX_RANGE}")
    return numbers


def _single(name: str) -> tyro.constructors.PrimitiveConstructorSpec:
    kind = KINDS[name]
    if kind is dict:
        return _spec("*", "KEY=VALUE...|JSON", read_options, _words)
    metavar = "{" + ",".join(CHOICES[name]) + "}" if name in CHOICES else _METAVARS[kind]
    return _spec(1, metavar, lambda words: read_value(kind, words[0]), lambda value: [_text(value)])


def _several(name: str) -> tyro.constructors.PrimitiveConstructorSpec:
    kind = KINDS[name]
    return _spec(
        1,
        f"{_METAVARS[kind]},...",
        lambda words: read_values(kind, words[0]),
        lambda values: [",".join(map(_text, values))],
    )


def _spec(
    nargs: Any, metavar: str, read: Callable[[list[str]], Any], write: Callable[[Any], list[str]]
) -> tyro.constructors.PrimitiveConstructorSpec:
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=nargs,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=write,
    )


Whole = Annotated[int, _spec(1, "INT", lambda words: read_whole(words[0]), lambda value: [str(value)])]
"""Type of a flag that takes a whole number; 1e4 is accepted, as in the settings of a run."""

Options = Annotated[Any, _spec("*", "KEY=VALUE...|JSON", read_options, lambda options: _words(options))]
"""Type of a flag that takes ``key=value`` words or one JSON object."""

_METAVARS = {int: "INT", float: "FLOAT", str: "NAME"}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(options: Mapping[str, Any]) -> list[str]:
    words = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    return [word if len(word) <= 60 else word[:57] + "..." for word in words] or ["none"]


def _same(value: Any) -> Any:
    return value
