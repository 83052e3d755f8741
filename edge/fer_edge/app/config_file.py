"""All options of ``fer-camera`` from one TOML file: the same names, the same checks."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fer_edge.command import did_you_mean
from fer_edge.errors import UsageError
from fer_edge.files import text_encoding
from fer_edge.redact import HIDDEN, redact_address

_NOT_IN_A_FILE = frozenset({"help", "version", "config", "print_config", "list_cameras", "fetch", "verify"})
_BACKSLASH_IN_QUOTES: Final[re.Pattern[str]] = re.compile(r'"[^"]*\\')
_ESCAPED_PATH: Final[re.Pattern[str]] = re.compile(r"[A-Za-z]:[^\\/]*[\b\t\n\f\r\x1b]")
"""What ``"C:\\temp"`` stands for: a drive, and a tab for its ``\\t``. No path of Windows may hold one."""
_SINGLE_QUOTES: Final[str] = (
    r"in double quotes a backslash begins an escape; put a Windows path in single quotes: 'C:\folder\film.mp4'"
)


def config_arguments(path: Path, parser: argparse.ArgumentParser) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The options in a TOML file, as command-line arguments: so that every value passes the same checks.

    Keys are the long options without their dashes (``detect-every = 3``, ``headless = true``); each ``[[camera]]``
    table holds those of one camera. Raises :class:`UsageError` for a file that is missing or not TOML, and for keys
    that are not options.

    Returns:
        The arguments for all, and ``(place, arguments)`` of each table, the place being for messages.
    """
    table = _read_toml(path)
    cameras = table.pop("camera", [])
    if not isinstance(cameras, list) or not all(isinstance(camera, dict) for camera in cameras):
        raise UsageError(f"--config {path}: unknown option camera; expected one table [[camera]] for each camera")
    options = file_options(parser)
    tables = []
    if cameras:
        from fer_edge.app.camera_tables import camera_options

        own = camera_options(options)
        for number, camera in enumerate(cameras, 1):
            place = f"{path}, camera {camera.get('name', number)}"
            for key in camera:
                name = key.replace("_", "-")
                if name in options and name not in own:
                    raise UsageError(f"--config {place}: {key} is of all cameras; put it above the first [[camera]]")
            tables.append((place, _arguments(place, camera, own)))
    return _arguments(str(path), table, options), tables


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info < (3, 11):
        raise UsageError(f"--config needs Python 3.11 or newer, this is {sys.version.split()[0]}; give options instead")
    import tomllib  # new in 3.11

    text = ""
    try:
        content = path.read_bytes()
        # On Windows, editors write a byte order mark and PowerShell writes UTF-16: TOML itself knows neither.
        text = content.decode(text_encoding(content))
        return tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(
            f"--config {path} is not TOML: expected text in UTF-8, got other bytes in line {line}; save it as UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}{_hint(text, str(error))}") from error


def _hint(text: str, problem: str) -> str:
    """The remedy where the line that TOML cannot read has a backslash in double quotes; else nothing."""
    place = re.search(r"\(at line (\d+)", problem)
    lines = text.replace("\r\n", "\n").split("\n")
    line = lines[int(place[1]) - 1] if place else ""
    return f"; {_SINGLE_QUOTES}" if _BACKSLASH_IN_QUOTES.search(line) else ""


def _arguments(place: str, table: dict[str, Any], options: dict[str, argparse.Action]) -> list[str]:
    arguments: list[str] = []
    for key, value in table.items():
        action = options.get(key.replace("_", "-"))
        if action is None:
            hint = did_you_mean(key.replace("_", "-"), options)
            raise UsageError(f"--config {place}: unknown option {key}{hint} (see fer-camera --print-config)")
        several = value if isinstance(action, argparse._AppendAction) and isinstance(value, list) else [value]
        arguments.extend(_argument(place, key, action, element) for element in several)
    return arguments


def file_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """``{long option without dashes: its action}`` for all options that a file may hold."""
    return {
        action.option_strings[-1 if len(action.option_strings) == 1 else 0].removeprefix("--"): action
        for action in parser._actions
        if action.option_strings and action.dest not in _NOT_IN_A_FILE
    }


def _argument(path: str, key: str, action: argparse.Action, value: Any) -> str:
    option = f"--{key.replace('_', '-')}"
    is_switch = isinstance(action, argparse.BooleanOptionalAction)
    if isinstance(value, bool):
        if not is_switch:
            raise UsageError(f"--config {path}: {key} expects a value, not true or false")
        return option if value else f"--no-{option.removeprefix('--')}"
    if is_switch:
        raise UsageError(f"--config {path}: {key} expects true or false, not {value!r}")
    if isinstance(value, list) and key == "cores":
        return f"{option}={','.join(str(item) for item in value)}"
    if not isinstance(value, str | int | float):
        raise UsageError(f"--config {path}: {key} expects a single value, not {value!r}")
    if isinstance(value, str) and _ESCAPED_PATH.match(value):
        raise UsageError(f"--config {path}: {key} is {value!r}: {_SINGLE_QUOTES}")
    return f"{option}={value}"


def config_text(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """A TOML file that holds ``arguments``; options that are not set stand in it as comments.

    Passwords are left out, since what is printed is often passed on, for example with a question; a line says so.
    """
    lines = [
        "# Options of fer-camera; use with: fer-camera --config FILE",
        "# The command line takes precedence over this file.",
        "",
    ]
    cameras = getattr(arguments, "cameras", [])
    for name, action in file_options(parser).items():
        if cameras and name == "source":
            continue  # each camera has its own
        text = " ".join((action.help or "").split()).replace("%%", "%")
        lines.append(f"# {text}")
        value = getattr(arguments, action.dest)
        if isinstance(value, str) and (shown := _shown(name, value)) != value:
            value = shown
            lines.append(f"# The password is left out: put it in for {HIDDEN}, in a file that nobody else can read.")
        lines.append(f"# {name} = ..." if value is None else f"{name} = {_toml(value)}")
        lines.append("")
    for camera in cameras:
        lines.extend(["[[camera]]", *_camera_lines(parser, arguments, camera.arguments), ""])
    return "\n".join(lines)


def _camera_lines(
    parser: argparse.ArgumentParser, shared: argparse.Namespace, own: argparse.Namespace
) -> Iterator[str]:
    """What one camera has otherwise than all."""
    from fer_edge.app.camera_tables import camera_options

    for name, action in camera_options(file_options(parser)).items():
        value = getattr(own, action.dest)
        if value is not None and (name in ("name", "source") or value != getattr(shared, action.dest)):
            yield f"{name} = {_toml(_shown(name, value) if isinstance(value, str) else value)}"


def _shown(name: str, value: str) -> str:
    return HIDDEN if name == "web-token" else redact_address(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple):  # a size
        return _toml("x".join(map(str, value)))
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(str(value), ensure_ascii=False)  # TOML's basic strings have JSON's escapes
