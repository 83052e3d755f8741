"""The campaign of kills: import, training, QAT and export killed without warning at random times, then taken up again.

    python tests/reliability/kill_run.py --kills 10 --json out/reliability/kills.json
    python tests/reliability/kill_run.py --stage import --stage export --kills 3

Half of the kills come at a random time, half while a file is being written. After each, everything under its final name
must be whole. In the end the result is compared with that of a command that nobody disturbed. Everything is real, but
small: synthetic faces, MobileNetV2 at 96 pixels without pretrained weights, the export of the shipped weights. Exit 1
when something was broken or came out differently.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final[Path] = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from tests.reliability.kills import (  # noqa: E402
    Command,
    being_written,
    broken_files,
    contents,
    draw_archive,
    leftovers,
    metrics,
)

from fer_edge.errors import FerError  # noqa: E402
from fer_edge.verification.golden import GOLDEN_NAME  # noqa: E402
from fer_edge.verification.replay import verify  # noqa: E402
from fer_train.importing.importer import CHECKSUMS  # noqa: E402
from fer_train.runs.run_folder import RunFolder  # noqa: E402

STAGES: Final[tuple[str, ...]] = ("import", "train", "qat", "export")
FLOAT_EPOCHS, QAT_EPOCHS = 4, 2
NOISE: Final[float] = 1e-3
"""Largest difference of a loss (nats) or an accuracy between a resumed and an undisturbed run that is let pass."""


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def kill_import(work: Path, kills: int, rng: random.Random, per_class: int = 150) -> dict[str, Any]:
    """``fer-data import``: what appears is complete, what was killed goes on, to the same files."""
    archive = work / "faces.zip"
    draw_archive(archive, per_class)

    def start(target: Path) -> Command:
        return Command(work / "import.log", "fer_train.commands.data", "import", archive, "--to", target)

    whole = start(work / "whole")
    whole.finish()
    took_s, right = time.monotonic() - whole.began, contents(work / "whole")
    killed = half = different = 0
    for number in range(kills):
        target = work / f"import{number}"
        command = start(target)
        if number % 2:
            staging = work / f".{target.name}.partial"
            at_the_end = (staging / CHECKSUMS).exists
            command.wait_until(at_the_end if number % 4 == 3 else being_written(staging), poll_s=0.0005)
        else:
            command.wait_until(lambda: False, rng.uniform(0.1, 0.8) * took_s)
        killed += command.kill()
        half += target.exists() and contents(target) != right
        start(target).finish()
        if contents(target) != right or leftovers(target):
            different += 1
            say(f"import: run {number} differs; left over: {leftovers(target) or 'nothing'}")
        shutil.rmtree(target)
    return {"kills": killed, "files": len(right), "half_written": half, "different": different}


def train(work: Path, run: Path, data: Path, qat_epochs: int) -> Command:
    """A small training, begun or taken up again."""
    recipe = ["--backbone", "none", "--input-size", 96, "--batch-size", 28]
    recipe += ["--epochs", FLOAT_EPOCHS, "--head-epochs", 1]
    recipe += ["--qat-epochs", qat_epochs, "--calibration-images", 70, "--learning-rate", 0.001]
    options = ["--resume"] if RunFolder(run).config.exists() else recipe
    return Command(
        work / "train.log", "fer_train.commands.train", "--data", data, "--run", run, *options, cache=work / "c"
    )


class Training:
    """One undisturbed training, to compare with, and the campaigns in its two stages."""

    def __init__(self, work: Path, with_qat: bool) -> None:
        self.work = work
        self.qat_epochs = QAT_EPOCHS if with_qat else 0
        self.data = work / "faces.zip"
        draw_archive(self.data, 12)
        self.whole = work / "whole-run"
        command = train(work, self.whole, self.data, self.qat_epochs)
        self._seconds(command, lambda: "read in" in command.said)
        first = self._seconds(command, lambda: ("float", 1) in metrics(self.whole))
        self.pace_s = {"float": first, "qat": 0.0}
        if with_qat:
            self._seconds(command, lambda: ("float", FLOAT_EPOCHS) in metrics(self.whole))
            self.after_float = work / "after-float"  # what the QAT campaign begins with
            shutil.copytree(self.whole, self.after_float)
            self.pace_s["qat"] = self._seconds(command, lambda: ("qat", 0) in metrics(self.whole))
        command.finish()
        self.right = metrics(self.whole)
        say(f"undisturbed: {self.pace_s}, {len(self.right)} rows, {time.monotonic() - command.began:.0f} s")

    @staticmethod
    def _seconds(command: Command, condition: Callable[[], object]) -> float:
        began = time.monotonic()
        assert command.wait_until(condition), command.said
        return time.monotonic() - began

    def campaign(self, stage: str, kills: int, rng: random.Random) -> dict[str, Any]:
        """Kill one training again and again in one stage; when it gets through, begin with another."""
        killed = in_writing = epochs_kept = runs = 0
        broken: list[str] = []
        differences: list[float] = []
        while killed < kills:
            runs += 1
            run = self.work / f"{stage}{runs}"
            if stage == "qat":
                shutil.copytree(self.after_float, run, ignore=shutil.ignore_patterns("qat*", "*tmp*", "tensorboard"))
            while killed < kills and (stage, self._last(stage)) not in metrics(run):
                writing = killed % 2 == 1
                command = train(self.work, run, self.data, self.qat_epochs)
                if command.wait_until(lambda: "read in" in command.said):  # noqa: B023
                    before = len(metrics(run))
                    if writing:
                        command.wait_until(being_written(run), poll_s=0.0005)
                        time.sleep(rng.uniform(0.0, 0.05))
                    else:
                        # Up to the first epoch of this process and some more
                        command.wait_until(lambda: False, rng.uniform(0.0, 2.0 * self.pace_s[stage]))
                    if not command.kill():
                        break
                    killed += 1
                    in_writing += writing
                    epochs_kept += len(metrics(run)) - before
                    broken += broken_files(run)
                    say(f"{stage}: kill {killed} of {kills}, {len(metrics(run))} epochs done, broken: {broken or 'no'}")
                else:
                    assert command.process.returncode == 0, command.said
            train(self.work, run, self.data, self.qat_epochs).finish()
            broken += broken_files(run)
            differences.append(self._difference(run))
            say(f"{stage}: run {runs} differs by {differences[-1]:.6f}; left over: {leftovers(run) or 'nothing'}")
        return {
            "kills": killed,
            "while_writing": in_writing,
            "runs": runs,
            "half_written": len(broken),
            "broken": broken,
            "largest_difference": max(differences),
            "different": sum(difference > NOISE for difference in differences),
        }

    @staticmethod
    def _last(stage: str) -> int:
        return FLOAT_EPOCHS if stage == "float" else QAT_EPOCHS

    def _difference(self, run: Path) -> float:
        found = metrics(run)
        if found.keys() != self.right.keys():
            say(f"rows {sorted(found)} instead of {sorted(self.right)}")
            return math.inf
        return max(
            abs(a - b)
            for key, row in self.right.items()
            for a, b in zip(row, found[key], strict=True)
            if not math.isnan(a)
        )


def kill_export(work: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """``fer-export``: nothing or whole files in the folder, in every second one of an earlier export."""
    limits = ["--max-drop", 100, "--min-agreement", 0, "--max-recall-loss", 100]

    def start(out: Path) -> Command:
        weights = CHECKOUT / "models"
        return Command(work / "export.log", "fer_export.cli", "--int8", "--weights", weights, "--out", out, *limits)

    def answers_rightly(model: Path) -> bool:
        # Not by its bytes: TensorFlow's converter and tf2onnx do not write the same network alike every time.
        try:
            return verify(model, work / "whole-export" / GOLDEN_NAME).passed
        except FerError as error:
            say(f"export: {error}")
            return False

    whole = start(work / "whole-export")
    whole.finish()
    took_s, right = time.monotonic() - whole.began, contents(work / "whole-export")
    say(f"export undisturbed: {took_s:.0f} s, {len(right)} files")
    models = [name for name in right if name.endswith((".tflite", ".onnx"))]
    killed = half = mixed = different = in_writing = 0
    left: set[str] = set()
    for number in range(kills):
        out = work / f"export{number}"
        old = {}
        if number % 4 >= 2:
            out.mkdir()
            for name in right:
                (out / name).write_text(f"an earlier {name}")
            old = contents(out)
        command = start(out)
        if number % 2:
            command.wait_until(being_written(out), poll_s=0.0005)
            time.sleep(rng.uniform(0.0, 0.03))
        else:
            command.wait_until(lambda: False, rng.uniform(0.05, 1.0) * took_s)
        alive = command.kill()
        killed += alive
        in_writing += alive and number % 2
        found = contents(out) if out.exists() else {}
        new = {name for name, digest in found.items() if digest != old.get(name)}
        for name in sorted(set(models) & found.keys()):
            half += found[name] not in (right[name], old.get(name)) and not answers_rightly(out / name)
        mixed += 0 < len([name for name in models if name in new]) < len(models)
        left |= set(leftovers(out)) if out.exists() else set()
        say(f"export: kill {killed} of {kills}, {len(found)} files there, left over: {leftovers(out) or 'nothing'}")
    start(out).finish()
    end = contents(out)
    different += end.keys() != right.keys() or not all(answers_rightly(out / name) for name in models)
    return {
        "kills": killed,
        "while_writing": in_writing,
        "half_written": half,
        "mixed_with_earlier": mixed,
        "different": different,
    }


def main() -> int:
    """Run the stages, print and write the numbers."""
    parser = argparse.ArgumentParser(description="Kill import, training, QAT and export at random times.")
    parser.add_argument("--stage", action="append", choices=STAGES, help="only this; repeat for more")
    parser.add_argument("--kills", type=int, default=10, help="in each (10)")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path, metavar="F", help="write the numbers")
    options = parser.parse_args()
    stages = options.stage or list(STAGES)
    results: dict[str, Any] = {}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory(prefix="fer-kills-") as folder:
        training: Training | None = None
        for stage in stages:
            work, rng = Path(folder) / stage, random.Random(options.seed)
            work.mkdir()
            began = time.monotonic()
            if stage == "import":
                results[stage] = kill_import(work, options.kills, rng)
            elif stage == "export":
                results[stage] = kill_export(work, options.kills, rng)
            else:
                training = training or Training(work, "qat" in stages)
                results[stage] = training.campaign("float" if stage == "train" else "qat", options.kills, rng)
            results[stage]["seconds"] = round(time.monotonic() - began)
            say(f"{stage}: {results[stage]}")
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(json.dumps(results, indent=1) + "\n")
    return 1 if any(result["half_written"] or result["different"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
