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
from fer_train.runs.network_of import network_of
from fer_train.runs.recipe import load_recipe
from fer_train.runs.trained import load_float_weights
from fer_train.synthetic.folder import write_synthetic

keras = pytest.importorskip("keras", reason="the [train] extra is not installed")


def commands_in(folder: Path) -> list[tuple[Path, list[str]]]:
    shared = ["--data", "d", "--soft-labels", "v", "--translate-votes"]
    teachers = best.teacher_runs(folder, shared, 150)
    able = [*(run for run, _ in teachers), Path("models")]
    return [*teachers, best.student_run(folder, shared, able, 300, "none")]


def test_every_step_is_a_valid_command(tmp_path: Path) -> None:
    commands = commands_in(tmp_path)
    assert 4 <= len(best.TEACHERS) <= 6
    for folder, _ in commands:
        folder.mkdir()
    recipes = [
        recipe_from(vars(build_parser().parse_args(["--run", str(folder), *options]))) for folder, options in commands
    ]
    *teachers, student = recipes
    assert {recipe.network for recipe in teachers} == {"vgg", "resnet", "convnext", STUDENT}
    assert {recipe.input_size for recipe in teachers} == {96, 128}
    assert max(recipe.width for recipe in teachers) > 1
    assert all(recipe.soft_label_weight > 0 and recipe.mixup > 0 for recipe in teachers)
    assert all(recipe.epochs >= 150 and recipe.backbone is None and recipe.head_epochs == 0 for recipe in teachers)
    assert student.live_teachers == (*(folder for folder, _ in commands[:-1]), Path("models"))
    assert student.network == STUDENT and student.epochs >= 300 and student.learning_rate == 0.001
    assert student.late_blocks == student.trainable_blocks  # the whole network to the end
    assert len({recipe.seed for recipe in recipes}) == len(recipes)
    for recipe in recipes:
        assert recipe.qat_epochs == 0 and recipe.half_weights and recipe.ema_decay > 0
        assert recipe.clip_gradients == 1 and recipe.disturb > 0
        assert recipe.checkpoint_seconds <= 60 and recipe.checkpoint_steps


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
    start = Started(dict.fromkeys([*best.TEACHERS, "student"], 0))

    def noted(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
        order.append(folder.name)
        if folder.name == "student":
            assert all((tmp_path / name / "summary.json").exists() for name in best.TEACHERS)
            taught_by = options[options.index("--teacher") + 1 :]
            assert taught_by == [str(tmp_path / name) for name in best.TEACHERS]
        else:
            folder.mkdir(parents=True)
            (folder / "best.npz").touch()
        return start(folder, options)

    monkeypatch.setattr(child_runs, "_start", noted)
    command = ["--data", "d.zip", "--runs", str(tmp_path)]
    assert best.main(command) == 0
    assert order == [*best.TEACHERS, "student"]
    assert start.most == len(best.TEACHERS)
    shown = capsys.readouterr()
    assert shown.out == "" and f"--start-from {tmp_path / 'student'} --epochs 0 --qat-epochs" in shown.err
    assert best.main(command) == 0
    assert len(order) == len(best.TEACHERS) + 1  # all done already
    assert best.main([*command, "--side-by-side", "0"]) == 2


@pytest.mark.slow
def test_time_is_up_for_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child_runs, "_POLL_S", 0.01)
    codes = dict.fromkeys([*best.TEACHERS, "student"], 0) | {"convnext": 99, "resnet": 99}  # 99: takes half a minute
    start = Started(codes)
    taught_by: list[str] = []

    def noted(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
        if folder.name == "student":
            taught_by.extend(options[options.index("--teacher") + 1 :])
        elif folder.name != "resnet":  # which has finished no epoch
            folder.mkdir(parents=True)
            (folder / "best.npz").touch()
        return start(folder, options)

    monkeypatch.setattr(child_runs, "_start", noted)
    assert best.main(["--data", "d.zip", "--runs", str(tmp_path), "--minutes", "0.1"]) == 0
    assert "time is up for" in capsys.readouterr().err
    assert start.processes["convnext"].poll() is not None and start.processes["resnet"].poll() is not None
    assert taught_by == [str(tmp_path / name) for name in best.TEACHERS if name != "resnet"]
    monkeypatch.setattr(child_runs, "_start", Started(dict.fromkeys(best.TEACHERS, 99)))  # no epoch in that time
    assert best.main(["--data", "d.zip", "--runs", str(tmp_path / "none"), "--minutes", "0.1"]) == 1


@pytest.mark.slow
def test_dry_run_on_a_few_faces(tmp_path: Path) -> None:
    write_synthetic(str(tmp_path / "data"), {"train": 3, "validation": 3, "test": 0})
    command = ["--data", str(tmp_path / "data"), "--runs", str(tmp_path / "runs"), "--side-by-side", "1"]
    command += ["--teacher-epochs", "1", "--student-epochs", "1", "--backbone", "none"]
    assert best.main(command) == 0
    for name in (*best.TEACHERS, "student"):
        folder = tmp_path / "runs" / name
        assert (folder / "best.npz").is_file() and (folder / "latest.npz").is_file()
        assert (folder / "metrics.csv").read_text(encoding="utf-8").count("\n") == 2
        # Half precision is enough to teach with, or to go on from.
        (folder / "float.weights.h5").unlink()
        recipe = load_recipe(folder / "config.json")
        load_float_weights(folder, network_of(recipe, keras))
    assert "live teachers (5," in (tmp_path / "runs/student.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_fer_train_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert best.main(["--data", str(tmp_path / "none.zip"), "--runs", str(tmp_path / "runs")]) == 1
    assert "none.zip" in capsys.readouterr().err
