"""Temperature scaling (Guo et al. 2017, section 4.2), folded into the last layer: ``fer-train calibrate``.

One number T for a network: its logits are divided by T, so that probabilities fit how often they are right; decisions
stay. T minimises the negative log-likelihood on the validation split, which is choosing on that split: the record
therefore also holds the ECE of each half of it under the T of the other half.

With ``--least-recall`` classes that are found more rarely also get a bias
(:mod:`fer_train.evaluation.recall_floor`), which does change decisions.

The weights of a run stay as trained. ``temperature.json`` beside them says T, and whoever builds the networks
(:mod:`fer_train.runs.trained`) folds it: kernel and bias of the dense layer are divided by T, and in the QAT network
the learned ranges of kernel and logits too, so that every quantised value before the softmax stays the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.files import write_text
from fer_edge.native import quiet_native_libraries
from fer_edge.option_types import number
from fer_train.logs import LOG

if TYPE_CHECKING:
    from fer_train.runs.run_folder import RunFolder

PROG: Final[str] = "fer-train calibrate"
_DESCRIPTION: Final[str] = (
    "Fit the temperatures of a finished run on its validation split (Guo et al. 2017, section 4.2), so that "
    "probabilities fit how often they are right; decisions stay, unless --least-recall is given."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit the temperatures of a finished run; returns the exit code of the contract."""

    def body() -> int:
        parser = CommandParser(prog=PROG, description=_DESCRIPTION)
        parser.add_verbosity()
        parser.add_argument("--run", type=Path, required=True, help="a finished run of fer-train")
        parser.add_argument("--data", type=Path, help="its data set (default: the one it was trained on)")
        either = parser.add_mutually_exclusive_group()
        either.add_argument("--remove", action="store_true", help="restore the probabilities as trained")
        either.add_argument(
            "--least-recall",
            type=number(0.0, 1.0),
            default=0.0,
            metavar="SHARE",
            help="a class that is found in a smaller share of its images, for example 0.45, gets a bias that brings it "
            "there; the others are then found less often (default: none)",
        )
        options = parser.parse_args(argv)
        from fer_train.runs.run_folder import RunFolder

        folder = RunFolder(options.run)
        if not folder.config.exists():
            raise ModelError(f"no {folder.config.name} in {folder.root}; expected a run folder of fer-train")
        with folder.locked():
            return _fit_run(folder, options.data, options.least_recall, remove=options.remove)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        return run_command(PROG, body)


def _fit_run(folder: RunFolder, data: Path | None, least_recall: float, *, remove: bool) -> int:
    from fer_train.data.dataset import load_dataset
    from fer_train.evaluation.temperature import FLOAT, INT8, RECORD, describe, load_temperatures, summarize
    from fer_train.quantization.tflite import evaluate_int8
    from fer_train.runs.recipe import load_recipe
    from fer_train.training.temperature_scaling import evaluate_keras, fit_temperatures

    recipe = load_recipe(folder.config)
    known = load_temperatures(folder.root)
    if known is not None and known.folded:
        raise ModelError(f"the weights in {folder.root} already contain a temperature; calibrate the run instead")
    source = data or recipe.data
    LOG.debug(f"temperatures are fitted on the validation split of {source}")
    split = load_dataset(source, seed=recipe.seed).split("validation")
    try:
        from fer_train.runs.trained import load_trained

        trained = load_trained(folder.root, fold=False)
        before = {FLOAT: evaluate_keras(trained.float_model(), split.images, split.labels, split.name)}
        qat = trained.qat_model()
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
    if qat is not None:
        before[INT8] = evaluate_int8(qat, split.images, split.labels, split.name)
    if remove:
        (folder.root / RECORD).unlink(missing_ok=True)
        summary = {name: evaluation.as_dict() for name, evaluation in before.items()}
        line = "probabilities as trained"
    else:
        after = fit_temperatures(folder.root, split.images, before, qat, least_recall)
        record = json.loads((folder.root / RECORD).read_text(encoding="utf-8"))
        summary, line = summarize(after, record), f"temperature: {describe(record)}"
    write_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    sys.stdout.write(line + "\n")
    return 0
