"""The best recipe in one command: its steps are valid, run side by side, and go on where they were."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.errors import CheckFailedError
from fer_train.commands import child_runs
from fer_train.commands import train_with_teachers as best
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import build_parser
from fer_train.networks.build import STUDENT


def test_every_step_is_a_valid_command(tmp_path: Path) -> None:
    commands = best.plan(tmp_path, ["--data", "d", "--soft-labels", "v", "--translate-votes"], ["models"], "none")
    assert len(commands) == 4
    for folder, _ in commands:
        folder.mkdir()
    recipes = [
        recipe_from(vars(build_parser().parse_args(["--run", str(folder), *options]))) for folder, options in commands
    ]
    assert [recipe.network for recipe in recipes] == ["vgg", "vgg", "resnet", STUDENT]
    assert all(recipe.soft_label_weight > 0 and recipe.qat_epochs == 0 for recipe in recipes[:3])
    student = recipes[-1]
    assert student.live_teachers == (*(folder for folder, _ in commands[:3]), Path("models"))
    assert student.qat_epochs > 0
    assert len({recipe.seed for recipe in recipes}) == 4
    assert len({recipe.input_size for recipe in recipes}) == 1  # teachers see what the student sees


class Started:
    """Stands for ``fer-train``: a process that ends with a code after a while, and writes a summary with code 0."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes, self.processes = codes, dict[str, subprocess.Popen[bytes]]()
        self.most = 0

    def __call__(self, folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        code = self.codes[folder.name]
        wait = 30 if code == 99 else 0.2
        program = (
            f"import time, sys, pathlib; time.sleep({wait}); print('this was it')\n"
            f"if {code} == 0: pathlib.Path({str(folder / 'summary.json')!r}).write_text('')\n"
            f"sys.exit({code})"
        )
        with child_runs.log_of(folder).open("wb") as log:
            process = subprocess.Popen([sys.executable, "-c", program], stdout=log)
        self.processes[folder.name] = process
        self.most = max(self.most, sum(each.poll() is None for each in self.processes.values()))
        return process


@pytest.mark.parametrize("at_once", [1, 2])
def test_runs_side_by_side_and_leaves_finished_ones_out(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child_runs, "_POLL_S", 0.05)
    start = Started({"a": 0, "b": 0, "c": 0})
    monkeypatch.setattr(child_runs, "_start", start)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "summary.json").write_text("")
    with caplog.at_level(logging.INFO, "fer_train"):
        child_runs.run_all([(tmp_path / name, []) for name in "abc"], at_once)
    assert sorted(start.processes) == ["a", "c"]
    assert start.most == at_once
    assert caplog.text.count("done. this was it") == 2


def test_a_failure_ends_the_others_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_runs, "_POLL_S", 0.05)
    start = Started({"a": 99, "b": 3})
    monkeypatch.setattr(child_runs, "_start", start)
    with pytest.raises(CheckFailedError, match="b ended with 3: this was it"):
        child_runs.run_all([(tmp_path / "a", []), (tmp_path / "b", [])], 2)
    assert start.processes["a"].poll() is not None


def test_a_terminated_command_leaves_no_run_behind(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\nfrom fer_train.commands import child_runs, train_with_teachers as best\n"
        "def start(folder, options):\n"
        "    process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "    print(process.pid, flush=True)\n"
        "    return process\n"
        "child_runs._start = start\n"
        f"sys.exit(best.main(['--data', 'd', '--runs', {str(tmp_path)!r}, '--side-by-side', '1']))"
    )
    command = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    child = int(command.stdout.readline())
    command.terminate()
    _, errors = command.communicate(timeout=20)
    assert command.returncode == 130
    assert b"interrupted" in errors
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_command_trains_teachers_before_the_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []
    monkeypatch.setattr(child_runs, "_POLL_S", 0.01)
    start = Started({"vgg_a": 0, "vgg_b": 0, "resnet": 0, "student": 0})

    def noted(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
        order.append(folder.name)
        if folder.name == "student":
            assert all((tmp_path / name / "summary.json").exists() for name in best.TEACHERS)
            assert options[options.index("--teacher") + 1] == str(tmp_path / "vgg_a")
        return start(folder, options)

    monkeypatch.setattr(child_runs, "_start", noted)
    command = ["--data", "d.zip", "--runs", str(tmp_path), "--side-by-side", "3"]
    assert best.main(command) == 0
    assert order == [*best.TEACHERS, "student"]
    shown = capsys.readouterr()
    assert shown.out == "" and f"next: fer-export --int8 --run {tmp_path / 'student'}" in shown.err
    assert best.main(command) == 0
    assert len(order) == 4  # all done already
    assert best.main([*command[:4], "--side-by-side", "0"]) == 2


def test_what_fer_train_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert best.main(["--data", str(tmp_path / "none.zip"), "--runs", str(tmp_path / "runs")]) == 1
    assert "none.zip" in capsys.readouterr().err
