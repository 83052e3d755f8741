"""A training option, written once: its words, range and default are in the field of the recipe.

Command line, checks and the table in the documents are made from there (:mod:`fer_train.commands.recipe`,
:mod:`fer_train.commands.option_table`), so that they cannot come to differ.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "ABOVE_0",
    "AT_LEAST_0",
    "AT_LEAST_1",
    "BELOW_1",
    "SHARE",
    "Option",
    "OptionField",
    "Range",
    "option",
    "options_of",
]

_KEY: Final[str] = "option"


@dataclass(frozen=True)
class Range:
    """Numbers that make sense; ``str`` says which, to follow "must be"."""

    low: float = -math.inf
    """The least number."""
    high: float = math.inf
    """The greatest number."""
    without_low: bool = False
    """Whether ``low`` itself is too small."""
    without_high: bool = False
    """Whether ``high`` itself is too large."""
    multiple_of: int | None = None
    """What it must be a multiple of, if anything."""

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.without_low else value >= self.low
        below = value < self.high if self.without_high else value <= self.high
        return math.isfinite(value) and above and below and (self.multiple_of is None or value % self.multiple_of == 0)

    def __str__(self) -> str:
        low = "above " * self.without_low + f"{self.low:g}"
        text = f"{low} to {'below ' * self.without_high}{self.high:.10g}"
        if math.isinf(self.high):
            text = ("" if self.without_low else "at least ") + low
        if self.multiple_of is None:
            return text
        return f"a multiple of {self.multiple_of}, {text}"


AT_LEAST_0: Final = Range(low=0)
AT_LEAST_1: Final = Range(low=1)
ABOVE_0: Final = Range(low=0, without_low=True)
SHARE: Final = Range(low=0, high=1)
BELOW_1: Final = Range(low=0, high=1, without_high=True)


@dataclass(frozen=True)
class Option:
    """What the command line and the documents say of a field of the recipe."""

    help: str
    """What it does, in a few words."""
    group: str
    """The group of options that it is shown in."""
    within: Range | None = None
    """Numbers that make sense."""
    choices: tuple[Any, ...] = ()
    """All values there are; empty where others are fine."""
    metavar: str | None = None
    """What stands for the value in the help."""
    default_text: str | None = None
    """In place of the plain default, where that says too little; ``{default}`` in it stands for that."""
    flag: str | None = None
    """In place of the field's name with dashes, for a switch that turns a thing off."""


def option(default: Any, help: str, *, group: str, **more: Any) -> Any:  # noqa: A002
    """A dataclass field that is also an option.

    Args:
        default: of the field.
        help: what it does, in a few words.
        group: the group of options that it is shown in.
        **more: as in :class:`Option`.

    Returns:
        A field of :mod:`dataclasses`.
    """
    return dataclasses.field(default=default, metadata={_KEY: Option(help, group, **more)})


@dataclass(frozen=True)
class OptionField:
    """An option together with name, type and default of its field."""

    name: str
    """Of the field."""
    kind: type
    """``int``, ``float``, ``str``, ``bool`` (a switch) or ``tuple`` (of one or several texts)."""
    default: Any
    """Of the field."""
    option: Option
    """What the command line says of it."""

    @property
    def flag(self) -> str:
        """As it is given on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default for people, empty where "not given" says it all."""
        if self.option.default_text is not None:
            return self.option.default_text.format(default=self.default)
        nothing_to_say = self.kind is bool or self.default in (None, "", ())
        if nothing_to_say:
            return ""
        return f"{self.default:g}" if self.kind is float else str(self.default)

    @property
    def metavar(self) -> str | None:
        """What stands for the value; None leaves it to ``argparse``."""
        numbers = {int: "N", float: "X"}
        return self.option.metavar or (None if self.option.choices else numbers.get(self.kind))

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value.

        Args:
            value: of the field.

        Returns:
            Words that name the option; None if nothing is wrong.
        """
        given, choices = self.option.within, self.option.choices
        if given is not None and value not in given:
            return f"{self.flag} must be {given}, got {value}"
        if choices and value not in choices:
            return f"{self.flag} must be one of {', '.join(map(str, choices))}, got {value}"
        return None


def options_of(record: type) -> dict[str, OptionField]:
    """Every field of a dataclass that is an option.

    Args:
        record: a dataclass.

    Returns:
        By name, in order.
    """
    types: Mapping[str, Any] = typing.get_type_hints(record)
    return {
        field.name: OptionField(field.name, _plain(types[field.name]), field.default, field.metadata[_KEY])
        for field in dataclasses.fields(record)
        if _KEY in field.metadata
    }


def _plain(annotation: Any) -> type:
    """``str`` of ``str | None``, ``tuple`` of ``tuple[str, ...]``."""
    if typing.get_origin(annotation) is tuple:
        return tuple
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    kind: type = parts[0] if parts else annotation
    return kind
