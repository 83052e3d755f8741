"""One logger a package, one handler in the command; ``--quiet`` and ``--verbose`` are levels of all of them."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.command import CommandParser, run_command
from fer_edge.logs import LOGGERS

ROOT = Path(__file__).parents[2]
SILENT = {
    "fer_edge": ROOT / "edge/fer_edge",
    "fer_train": ROOT / "train/fer_train",
    "fer_export": ROOT / "export/fer_export",
    "fer_bench": ROOT / "benchmarks/fer_bench",
}
"""Packages whose modules log what is worth knowing and print nothing but results."""
PRINTS_RESULTS = {
    "fer_edge/app/cli.py": "cameras, configuration, the file that --fetch has, the stages of --verify",
    "fer_edge/app/watch.py": "nothing: it asks whether standard output is a terminal",
    "fer_edge/inference/backends/rknn.py": "nothing: it keeps the library's notices from standard output",
    "fer_edge/loading/trial.py": "the answer of the child process that tries a model",
    "fer_edge/outputs/answers.py": "the answers",
    "fer_edge/outputs/csv_file.py": "--csv -",
    "fer_edge/outputs/jsonl.py": "--jsonl -",
    "fer_export/cli.py": "the table of targets, and what --install-target made ready",
    "fer_export/targets/micro_worker.py": "the answer of the child process that computes",
    "fer_export/targets/scripts/rknn_build.py": "nothing: it flushes what the tool has printed",
    "fer_bench/report/demo_page.py": "the path of the page",
    "fer_bench/robustness/command.py": "the kinds of disturbance",
    "fer_train/commands/ablation.py": "the table of effects",
    "fer_train/commands/average.py": "the accuracy of the average",
    "fer_train/commands/calibrate.py": "the temperatures",
    "fer_train/commands/data.py": "what was imported, and the audit",
    "fer_train/commands/input_speed.py": "the measured rates",
    "fer_train/commands/option_table.py": "the page of options",
}
"""Modules that write to standard output, and which result that is."""
MEANS = {
    "fer_edge/app/progress_line.py": "one line that is written over, on a terminal only",
    "fer_edge/command.py": "errors and versions of all commands",
    "fer_edge/logs.py": "the one handler",
    "fer_edge/native.py": "what native libraries write is led away",
    "fer_edge/start.py": "Ctrl-C before anything is imported",
}
"""Modules that stand between the logging and the standard streams."""
NAMES = ("fer_edge", "fer_train", "fer_export", "fer_bench")


def _body(*arguments: str) -> int:
    parser = CommandParser(prog="toy")
    parser.add_verbosity()
    parser.parse_args(list(arguments))
    for name in NAMES:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "%s %d", name, level)
    return 0


@pytest.mark.parametrize(("arguments", "shown"), [((), 3), (("--quiet",), 1), (("--verbose",), 4)])
def test_levels_of_every_package(arguments: tuple[str, ...], shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("toy", lambda: _body(*arguments)) == 0
    lines = capsys.readouterr().err.splitlines()
    for name in NAMES:
        assert len([line for line in lines if f"{name} " in line]) == shown
    assert len(lines) == len(set(lines))


def test_nothing_is_left_behind() -> None:
    before = [(log.level, log.propagate, list(log.handlers)) for log in LOGGERS]
    assert run_command("toy", lambda: _body("--quiet")) == 0
    assert [(log.level, log.propagate, list(log.handlers)) for log in LOGGERS] == before


def test_stage_lines_reach_the_logging_of_a_python_user(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    from fer_train.training.stage_progress import stage_progress

    caplog.set_level(logging.INFO, "fer_train")
    with stage_progress("float", 1, 1, 0) as progress:
        progress.say("epoch 1: [well]")
    assert [(one.name, one.getMessage()) for one in caplog.records] == [("fer_train", "epoch 1: [well]")]
    assert "epoch 1" not in capsys.readouterr().out


def written(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that prints: calls of ``print``, and every mention of a standard stream."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "say", "fer_edge.command.say"):
            yield "print"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "sys":
            yield from (f"sys.{alias.name}" for alias in node.names if alias.name in ("stdout", "stderr"))


@pytest.mark.parametrize("package", SILENT)
def test_only_results_are_printed_and_notices_are_logged(package: str) -> None:
    found = {
        f"{package}/{path.relative_to(SILENT[package]).as_posix()}": set(
            written(ast.parse(path.read_text(encoding="utf-8")))
        )
        for path in SILENT[package].rglob("*.py")
    }
    prints = {name: what for name, what in found.items() if what and name not in MEANS}
    allowed = {name for name in PRINTS_RESULTS if name.startswith(f"{package}/")}
    assert prints.keys() == allowed, "a notice goes to LOG; what a program reads is listed in PRINTS_RESULTS"
    assert all(what <= {"sys.stdout", "print"} for what in prints.values()), "notices on standard error go to LOG"
    assert {name for name in MEANS if name.startswith(f"{package}/")} <= found.keys()


def test_what_prints_is_found() -> None:
    source = "import sys\nfrom sys import stderr\nprint(1)\nwrite = sys.stdout.write\nsys.stderr.write('')\nsay('')"
    assert sorted(written(ast.parse(source))) == ["print", "print", "sys.stderr", "sys.stderr", "sys.stdout"]


@pytest.mark.parametrize("before", [True, False])
def test_verbosity_holds_before_and_after_a_subcommand(before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def body(word: str) -> int:
        parser = CommandParser(prog="toy")
        parser.add_verbosity()
        part = parser.add_subparsers(dest="command").add_parser("part")
        part.add_verbosity(again=True)
        options = parser.parse_args([word, "part"] if before else ["part", word])
        assert (options.quiet, options.verbose) == (word == "--quiet", word == "--verbose")
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger("fer_train").log(level, "line")
        return 0

    for word, shown in (("--quiet", 1), ("--verbose", 3)):
        assert run_command("toy", lambda word=word: body(word)) == 0  # type: ignore[misc]
        assert capsys.readouterr().err.count("line") == shown


def test_every_training_command_takes_quiet_and_verbose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_train.commands import data
    from fer_train.commands.subcommands import SUBCOMMANDS

    for name in ("", *SUBCOMMANDS.table):
        with pytest.raises(SystemExit):
            SUBCOMMANDS.main([*filter(None, [name]), "--help"])
        assert "--quiet" in (shown := capsys.readouterr().out) and "--verbose" in shown, name
    for given in (["--quiet", "average"], ["average", "--quiet"]):
        assert SUBCOMMANDS.main([*given, "--verbose", "--run", "r", "--to", "t"]) == 2
        assert "fer-train average: error: argument --verbose: not allowed with" in capsys.readouterr().err
    synth = ["synth", "--train", "1", "--validation", "0", "--test", "0", "--size", "16", "--to"]
    assert data.main(["--quiet", *synth, str(tmp_path / "a")]) == 0
    assert data.main([*synth, str(tmp_path / "b"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    for part in ("import", "audit"):
        assert data.main([part, str(tmp_path), "--quiet", "--verbose"]) == 2
        assert "not allowed with argument" in capsys.readouterr().err


def test_verbose_says_what_is_read_and_by_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_train.commands import data

    faces = tmp_path / "faces"
    arguments = ["--train", "2", "--validation", "1", "--test", "1", "--size", "48", "--quiet"]
    assert data.main(["synth", "--to", str(faces), *arguments]) == 0
    assert data.main(["import", str(faces), "--to", str(tmp_path / "out"), "--verbose"]) == 0
    shown = capsys.readouterr()
    assert f"images come from {faces}" in shown.err and "FolderReader" in shown.err
    assert shown.out.startswith("imported: 28 images")


def test_a_quiet_command_has_no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    console = pytest.importorskip("rich.console").Console
    from fer_train import terminal

    monkeypatch.setattr(console, "is_terminal", True)
    for level, hidden in ((logging.INFO, False), (logging.ERROR, True)):
        monkeypatch.setattr(terminal, "LOG", logging.Logger("toy", level))
        with terminal.progress_bar("toy") as on_progress:
            assert on_progress.__closure__ is not None  # what it was made with: the bars
            assert on_progress.__closure__[0].cell_contents.disable is hidden
