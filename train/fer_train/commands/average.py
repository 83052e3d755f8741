"""The average of several runs' float weights: ``fer-train average --run runs/a runs/b --to runs/mean``.

Runs that went on from one another, or from the same network, lie in one basin of the loss; the mean of their weights is
there too, often flatter and no slower (model soups, Wortsman et al. 2022, arXiv:2203.05482). Runs that began apart have
no sensible mean: the accuracy that is printed tells. With ``--data`` the BatchNorm statistics are those of the averaged
network on plain training faces, not the mean of the runs'; one run alone can get new statistics this way. Go on with
``fer-train --start-from runs/mean --epochs 0``.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.native import quiet_native_libraries
from fer_train.logs import LOG

PROG: Final[str] = "fer-train average"
_DESCRIPTION: Final[str] = (
    "Average the float weights of several runs that went on from one another (model soups, Wortsman et al. 2022). With "
    "--data BatchNorm statistics are taken again on training faces, for one run too, and the accuracy is printed. Go "
    "on with fer-train --start-from RUN --epochs 0."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Average and judge; returns the exit code of the contract."""

    def body() -> int:
        parser = CommandParser(prog=PROG, description=_DESCRIPTION)
        parser.add_verbosity()
        parser.add_argument(
            "--run", type=Path, nargs="+", required=True, help="runs with float weights, the last leads"
        )
        parser.add_argument("--to", type=Path, required=True, help="folder of the new run")
        parser.add_argument("--data", help="data set: BatchNorm statistics of its train split, accuracy on validation")
        options = parser.parse_args(argv)
        from fer_train.data.dataset import load_dataset
        from fer_train.networks.batchnorm_statistics import reestimate_batchnorm
        from fer_train.runs.average import average_runs
        from fer_train.runs.run_folder import RunFolder

        if len(options.run) < 2 and not options.data:
            raise UsageError("an average takes at least two runs; one alone gets new BatchNorm statistics from --data")
        if RunFolder(options.to).config.exists():
            raise UsageError(f"{options.to} already holds a run; choose another --to")
        try:
            network = average_runs(options.run)
            data = load_dataset(options.data) if options.data else None
            if data is not None:
                n = reestimate_batchnorm(network, data.split("train").images)
                LOG.info(f"BatchNorm statistics of {n} train images")
        except ImportError as error:
            raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
        _write(network, options.run, options.to)
        LOG.info(f"the mean of {len(options.run)} runs is in {options.to}")
        if data is not None:
            from fer_train.evaluation.evaluate import evaluate_classifier
            from fer_train.networks.keras_classifier import KerasClassifier

            split = data.split("validation")
            evaluation = evaluate_classifier(KerasClassifier(network), split.images, split.labels, split.name)
            sys.stdout.write(f"{evaluation.accuracy:.2%} of {evaluation.n_images} validation images\n")
        return 0

    with quiet_native_libraries():
        return run_command(PROG, body)


def _write(network: Any, runs: Sequence[Path], destination: Path) -> None:
    """Weights first, recipe last: a folder with a recipe is whole."""
    from fer_train.runs.recipe import load_recipe
    from fer_train.runs.run_folder import RunFolder
    from fer_train.runs.weights import save_weights

    folder = RunFolder(destination)
    with folder.locked():
        save_weights(network, folder.float_weights)
        recipe = load_recipe(RunFolder(runs[-1]).config)
        names = tuple(str(run) for run in runs)
        dataclasses.replace(recipe, epochs=0, qat_epochs=0, start_from=str(runs[-1]), average_of=names).save(
            folder.config
        )
