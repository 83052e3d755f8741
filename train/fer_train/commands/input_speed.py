"""Is the input pipeline in the way? ``fer-train speed`` compares the epoch loop with the bare training step.

Loop: what ``fer-train`` does in an epoch before it evaluates, from images in memory: order, resizing, disturbances,
mixing, queue, augmentation and training on the device, progress and the watch on the loss. Bare: the same compiled
step, augmentation included, on one batch that is repeated, so that nothing has to be prepared. Both run the same number
of steps in turn, in changing order; the ratio is the median over the rounds.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError, MissingDependencyError
from fer_edge.files import write_text
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.native import keep_memory, quiet_native_libraries
from fer_edge.option_types import number, whole
from fer_train.logs import LOG
from fer_train.networks.build import INPUT_SIZES
from fer_train.runs.recipe import Recipe

PROG: Final[str] = "fer-train speed"
_DESCRIPTION: Final[str] = (
    "Does the input pipeline slow training down? Compares the epoch loop with the bare training step."
)
TARGET: Final[float] = 0.95
_IMAGE_SIDE: Final[int] = 48
"""FER-2013's; the content of the images plays no part, so noise will do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code of the contract, 1 when a ratio falls below ``--min-ratio``."""

    def body() -> int:
        options = _parser().parse_args(argv)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        keep_memory()  # as fer-train
        with quiet_native_libraries():
            try:
                record = measure(
                    Recipe(
                        input_size=options.input_size,
                        backbone=None,
                        batch_size=options.batch_size,
                        head_epochs=0,
                        erase=options.erase,
                        mixup=options.mixup,
                        cutmix=options.cutmix,
                        disturb=options.disturb,
                    ),
                    precisions=options.precision,
                    steps=options.steps,
                    rounds=options.rounds,
                )
            except ImportError as error:
                raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
        for result in record["results"]:
            sys.stdout.write(
                f"{result['precision']}: epoch loop {result['loop_images_per_s']:.1f} images/s, "
                f"bare step {result['bare_images_per_s']:.1f} images/s, ratio {result['ratio']:.3f} "
                f"({result['ratio_min']:.3f} to {result['ratio_max']:.3f} in {record['rounds']} rounds)\n"
            )
        if options.json:
            write_text(options.json, json.dumps(record, indent=2) + "\n")
        slow = [result for result in record["results"] if result["ratio"] < options.min_ratio]
        if slow:
            raise CheckFailedError(
                f"the epoch loop reaches {slow[0]['ratio']:.3f} of the bare step, less than {options.min_ratio} "
                f"({slow[0]['precision']})"
            )
        return 0

    return run_command(PROG, body)


def _parser() -> CommandParser:
    parser = CommandParser(prog=PROG, description=_DESCRIPTION)
    parser.add_verbosity()
    parser.add_argument(
        "--input-size",
        type=int,
        choices=INPUT_SIZES,
        default=96,
        help="side of the square input in pixels (default: %(default)s)",
    )
    parser.add_argument("--batch-size", type=whole(1), default=64, help="images per step (default: %(default)s)")
    parser.add_argument("--steps", type=whole(1), default=10, help="steps of one round (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=whole(1), default=7, help="rounds, each with the loop and the bare step (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default=["float32"],
        help="one or more, all measured in turn in every round (default: float32)",
    )
    parser.add_argument("--erase", type=number(0, 1), default=0.0, help="as in fer-train")
    parser.add_argument("--mixup", type=number(0, 100), default=0.0, help="as in fer-train")
    parser.add_argument("--cutmix", type=number(0, 100), default=0.0, help="as in fer-train")
    parser.add_argument("--disturb", type=number(0, 1), default=0.0, help="as in fer-train")
    parser.add_argument("--min-ratio", type=number(0), default=TARGET, help="exit 1 below it (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="F", help="write all figures")
    return parser


def measure(
    recipe: Recipe,
    *,
    precisions: Sequence[str],
    steps: int,
    rounds: int,
) -> dict[str, Any]:
    """Images per second of loop and bare step for each precision; keys name their units."""
    import keras

    from fer_train.networks.engine import device_names

    contestants: list[tuple[str, str, Callable[[], object]]] = []
    for precision in precisions:
        loop, bare = _contestants(dataclasses.replace(recipe, precision=precision), steps)
        contestants += [(precision, "loop", loop), (precision, "bare", bare)]
    for precision, kind, run in contestants:
        LOG.info(f"compiling {precision} {kind}")
        run()
    seconds: dict[tuple[str, str], list[float]] = {(p, kind): [] for p, kind, _ in contestants}
    for turn in range(rounds):
        # Forwards and backwards in turn, so that a drift of the machine falls on both.
        for precision, kind, run in contestants if turn % 2 == 0 else contestants[::-1]:
            started = time.perf_counter()
            run()
            seconds[precision, kind].append(time.perf_counter() - started)
        LOG.info(f"round {turn + 1} of {rounds}")
    images = steps * recipe.batch_size
    results = []
    for precision in precisions:
        loop_s, bare_s = seconds[precision, "loop"], seconds[precision, "bare"]
        ratios = [b / a for a, b in zip(loop_s, bare_s, strict=True)]
        results.append(
            {
                "precision": precision,
                "loop_images_per_s": images / statistics.median(loop_s),
                "bare_images_per_s": images / statistics.median(bare_s),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "loop_round_s": loop_s,
                "bare_round_s": bare_s,
            }
        )
    return {
        "format": 1,
        "results": results,
        "rounds": rounds,
        "steps_per_round": steps,
        "batch_size": recipe.batch_size,
        "input_size_px": recipe.input_size,
        "mixup_alpha": recipe.mixup,
        "cutmix_alpha": recipe.cutmix,
        "disturb_probability": recipe.disturb,
        "backend": f"keras {keras.__version__} on {keras.backend.backend()}",
        "devices": device_names(),
        "cpus": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load_average_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _contestants(recipe: Recipe, steps: int) -> tuple[Callable[[], object], Callable[[], object]]:
    import numpy as np

    from fer_train.inputs.targets import hard_targets
    from fer_train.inputs.training_data import TrainingData
    from fer_train.runs.run_folder import RunFolder
    from fer_train.training.float_stage import FloatStage
    from fer_train.training.stage_progress import stage_progress

    rng = np.random.default_rng(0)
    n = steps * recipe.batch_size
    images = rng.integers(0, 256, (n, _IMAGE_SIDE, _IMAGE_SIDE), dtype=np.uint8)
    labels = np.arange(n) % NUM_EMOTIONS
    data = TrainingData(images, labels, hard_targets(labels, 0.1), np.ones(n, np.float32), images[:1], labels[:1])
    stage = FloatStage(recipe, data, RunFolder(Path(tempfile.gettempdir()) / "fer-speed-writes-nothing"))
    stage.get_ready()
    epoch = iter(range(1 << 30))

    def loop() -> None:
        with stage_progress("speed", 1, steps, 0) as progress:
            stage.fit_epoch(next(epoch), progress)

    batch = stage.first_batch()
    plain = stage.plain_steps()
    if plain is not None:
        return loop, lambda: plain.epoch(_Repeated(batch, steps), 0, lambda _: None)

    import tensorflow as tf

    repeated = tf.data.Dataset.from_tensors(tuple(tf.constant(array) for array in batch)).repeat(steps)
    return loop, lambda: stage.trainer.fit(repeated, epochs=1, verbose=0, shuffle=False)


class _Repeated:
    """One batch over and over, where an epoch's batches are expected."""

    def __init__(self, batch: tuple[Any, ...], count: int) -> None:
        self._batch, self._count, self.batch_size = batch, count, len(batch[0])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._batch
