from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fer_edge.app.cli import main, parse_arguments
from fer_edge.app.config_file import config_text, file_options
from fer_edge.app.options import build_parser
from fer_edge.errors import UsageError

tomllib = pytest.importorskip("tomllib", reason="configuration files need Python 3.11")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "camera.toml"


def test_options_from_a_file(config: Path) -> None:
    config.write_text(
        'source = "rtsp://cam/live"\nheadless = true\nsmoothing = false\ndetect-every = 3\nmin_confidence = 0.5\n'
        'size = "1280x720"\ncores = [0, 2]\n'
    )
    arguments = parse_arguments(["--config", str(config)])
    assert arguments.source == "rtsp://cam/live"
    assert (arguments.headless, arguments.smoothing) == (True, False)
    assert (arguments.detect_every, arguments.min_confidence) == (3, 0.5)
    assert (arguments.size, arguments.cores) == ((1280, 720), [0, 2])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", ['source = "ü.mp4"', "# only a comment", ""])
def test_a_byte_order_mark_is_no_part_of_the_file(config: Path, text: str, newline: str) -> None:
    """Notepad and PowerShell write one."""
    config.write_bytes(b"\xef\xbb\xbf" + f"{text}{newline}detect-every = 3{newline}".encode())
    arguments = parse_arguments(["--config", str(config)])
    assert arguments.detect_every == 3
    assert arguments.source == ("ü.mp4" if "source" in text else "0")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read(config: Path, encoding: str) -> None:
    """``>`` of PowerShell 5 writes it, with a byte order mark."""
    for text in ('source = "\u00fc.mp4"\r\ndetect-every = 3\r\n', 'detect-every = 3\nsource = "\u00fc.mp4"'):
        config.write_bytes(text.encode(encoding))
        arguments = parse_arguments(["--config", str(config)])
        assert (arguments.source, arguments.detect_every) == ("\u00fc.mp4", 3)
    config.write_bytes(b"\xfe\xff" + 'source = "1"'.encode("utf-16-be"))
    assert parse_arguments(["--config", str(config)]).source == "1"


def test_other_encodings_are_refused_with_the_remedy(config: Path) -> None:
    config.write_bytes('headless = true\nsource = "\u00fc"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match="is not TOML: expected text in UTF-8, got other bytes in line 2; save it as"):
        parse_arguments(["--config", str(config)])


@pytest.mark.parametrize(
    "path", [r"C:\users\film.mp4", r"C:\Users\film.mp4", r"C:\data\film.mp4", r"C:\temp\film.mp4", "C:\\"]
)
def test_a_windows_path_belongs_in_single_quotes(config: Path, path: str) -> None:
    config.write_text(f'headless = true\nsource = "{path}"\n')
    with pytest.raises(UsageError, match="put a Windows path in single quotes: 'C:") as caught:
        parse_arguments(["--config", str(config)])
    assert "\n" not in str(caught.value) and "\t" not in str(caught.value)
    config.write_text(f"headless = true\nsource = '{path}'\n")
    assert parse_arguments(["--config", str(config)]).source == path
    config.write_text(f"headless = true\nsource = '{path}'\nsize = big\n")
    with pytest.raises(UsageError, match=r"is not TOML: Invalid value \(at line 3, column 8\)$"):
        parse_arguments(["--config", str(config)])


def test_turned_pictures_in_a_file(config: Path) -> None:
    config.write_text("rotate = 270\nflip = true\n")
    arguments = parse_arguments(["--config", str(config)])
    assert (arguments.rotate, arguments.flip) == (270, True)
    config.write_text("rotate = 45\n")
    with pytest.raises(UsageError, match="invalid choice"):
        parse_arguments(["--config", str(config)])


def test_the_command_line_counts_more(config: Path) -> None:
    config.write_text("headless = true\ndetect-every = 3\n")
    arguments = parse_arguments(["--no-headless", "--config", str(config), "--detect-every", "5"])
    assert (arguments.headless, arguments.detect_every) == (False, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detect-evry = 3", "unknown option detect-evry; did you mean detect-every?"),
        ("verify = true", "unknown option verify"),
        ("detect-every = 0", "expected a number from 1 to 1000, got 0"),
        ("detect-every = true", "expects a value, not true or false"),
        ('headless = "yes"', "expects true or false, not 'yes'"),
        ("size = [1, 2]", "expects a single value"),
        ('size = "big"', "expected WIDTHxHEIGHT"),
        ('detector = "yolo"', "invalid choice"),
        ("source 0", "is not TOML"),
        ("[camera]\nsource = 0", "unknown option camera"),
    ],
)
def test_mistakes_in_a_file(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as caught:
        parse_arguments(["--config", str(config)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text(config: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        parse_arguments(["--config", str(config)])
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not TOML"):
        parse_arguments(["--config", str(config)])


def test_python_3_10_is_told_what_it_lacks(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    with pytest.raises(UsageError, match=r"--config needs Python 3\.11"):
        parse_arguments(["--config", str(config)])


def test_print_config_gives_a_file_that_means_the_same(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    given = ["--source", 'a "quoted" ü\\name', "--headless", "--no-smoothing", "--cores", "0,1", "--fps", "12.5"]
    given += ["--size", "640x480", "--jsonl", "-", "--min-confidence", "0"]
    assert main([*given, "--print-config"]) == 0
    config.write_text(capsys.readouterr().out)
    assert tomllib.loads(config.read_text())["source"] == 'a "quoted" ü\\name'
    expected, read = vars(parse_arguments(given)), vars(parse_arguments(["--config", str(config)]))
    read["config"] = None
    assert read == expected


def test_every_option_may_stand_in_the_file(config: Path) -> None:
    """But for those that end the command at once."""
    parser = build_parser()
    text = config_text(parser, parser.parse_args([]))
    names = {action.option_strings[0].removeprefix("--") for action in parser._actions if action.option_strings}
    at_once = {"-h", "config", "print-config", "list-cameras", "fetch", "verify", "version"}
    assert names - at_once == set(file_options(parser))
    for name in names - at_once:
        assert f"\n{name} = " in text or f"\n# {name} = ..." in text
