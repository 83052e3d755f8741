"""One logger a package, one handler in the command; ``--quiet`` and ``--verbose`` are levels of all of them."""

from __future__ import annotations

import logging

import pytest

from fer_edge.command import CommandParser, run_command
from fer_edge.logs import LOGGERS

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
