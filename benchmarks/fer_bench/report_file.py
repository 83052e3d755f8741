"""Writing and reading a ``fer-bench`` JSON file; a malformed one is rejected in one line."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union

from fer_bench.schema import (
    N_QUANTILES,
    SCHEMA,
    Report,
    Result,
)
from fer_edge.errors import InputError
from fer_edge.files import write_text

__all__ = ["parse_report", "read_report", "write_report"]

_T = TypeVar("_T")


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Check a report as the reader will, then write it atomically.

    Args:
        report: to write.
        path: of the JSON file.

    Raises:
        InputError: the report would not be read back.
    """
    text = report.as_json()
    parse_report(text, str(path))
    write_text(path, text)


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read and check a JSON file.

    Args:
        path: of the file.

    Returns:
        The report.

    Raises:
        InputError: in one line: the file is missing, is not JSON, is of another schema, lacks a key, has a value of
            another type or one that cannot be (a negative time, p50 above p90, valid with reasons).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{path}: cannot be read: {reason}; expected a file written by fer-bench --json") from error
    return parse_report(text, str(path))


def parse_report(text: str, where: str) -> Report:
    """Check the text of a JSON file.

    Args:
        text: of the file.
        where: how errors call it.

    Returns:
        The report.

    Raises:
        InputError: as for :func:`read_report`.
    """
    try:
        content = json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); expected a file written by fer-bench --json") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InputError(f'{where}: expected "schema": "{SCHEMA}", found {schema!r}; written by fer-bench --json?')
    report = _read(Report, content, where, f"{where}: ")
    for index, result in enumerate(report.results):
        _check(result, f"{where}: results[{index}]")
    return report


def _read(kind: type[_T], value: Any, where: str, prefix: str) -> _T:
    """``value`` as the dataclass ``kind``. Keys that this version does not know are ignored: more is welcome.

    Errors call the value ``where``, and its keys ``prefix`` and their name.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {_brief(value)}")
    hints = typing.get_type_hints(kind)
    read: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        at = prefix + item.name
        if item.name in value:
            read[item.name] = _value(hints[item.name], value[item.name], at)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise InputError(f"{at} is missing")
    return kind(**read)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _value(inner[0], value, where)
    if origin is list:
        if not isinstance(value, list):
            raise InputError(f"{where}: expected a list, found {_brief(value)}")
        return [_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, found {_brief(value)}")
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast("type[Any]", hint), value, where, f"{where}.")
    return _scalar(hint, value, where)


def _scalar(hint: type, value: Any, where: str) -> Any:
    # bool is an int to Python, not to us
    accepted = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}[hint]
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where}: expected {hint.__name__}, found {_brief(value)}")
    if isinstance(value, (bool, str)):
        return value
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, found {value}")
    if value < 0 and not where.endswith("_c"):  # only a temperature may be
        raise InputError(f"{where}: expected no negative number, found {value}")
    return hint(value)


def _brief(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _check(result: Result, where: str) -> None:
    """What types cannot say."""
    times = result.latency_ms
    if not 0 < times.min <= times.p50 <= times.p90 <= times.p99 <= times.max:
        raise InputError(f"{where}.latency_ms: expected 0 < min <= p50 <= p90 <= p99 <= max, found {times}")
    if result.valid == bool(result.invalid_reasons):
        raise InputError(f"{where}: valid is {result.valid}, but invalid_reasons is {result.invalid_reasons}")
    if len(result.latency_quantiles_ms) != N_QUANTILES or sorted(result.latency_quantiles_ms) != list(
        result.latency_quantiles_ms
    ):
        raise InputError(f"{where}.latency_quantiles_ms: expected {N_QUANTILES} rising numbers")
    if not result.round_p50_ms or not all(result.round_p50_ms):
        raise InputError(f"{where}.round_p50_ms: expected at least one round in each process")
    for key in ("accuracy", "agreement_with_reference"):
        fraction = getattr(result, key)
        if fraction is not None and fraction > 1:
            raise InputError(f"{where}.{key}: expected a fraction in [0, 1], found {fraction}")
    if result.accuracy is not None and (not result.n_images or not result.split):
        raise InputError(f"{where}: an accuracy needs n_images and split")
    intervals = (result.accuracy_ci95, result.ratio_to_float_ci95, *dataclasses.astuple(result.latency_ci95_ms))
    for interval in intervals:
        if interval is not None and (len(interval) != 2 or interval[0] > interval[1]):
            raise InputError(f"{where}: expected confidence intervals as [low, high], found {interval}")
    trusted = result.valid if result.ratio_valid is None else result.ratio_valid
    if (not trusted and result.ratio_to_float is not None) or (not result.valid and result.ratio_to_best is not None):
        raise InputError(f"{where}: an invalid measurement has no ratio")
    if result.ratio_valid is not None and result.ratio_valid == bool(result.ratio_invalid_reasons):
        raise InputError(
            f"{where}: ratio_valid is {result.ratio_valid}, but ratio_invalid_reasons is {result.ratio_invalid_reasons}"
        )
