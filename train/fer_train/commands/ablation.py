"""What does each part of the recipe do? ``fer-train ablation`` trains short runs that differ in one part.

Every run is a plain ``fer-train`` in a process and folder of its own, so that all of it can be interrupted and taken up
again. The difference to the base run is over the same validation images, so it comes with a paired interval; that
interval knows nothing of the luck of one seed, which moves short runs by about as much again: repeat what matters with
``--seeds``.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import ModelError, UsageError
from fer_edge.files import write_text
from fer_edge.option_types import whole
from fer_train.commands.child_runs import run_all
from fer_train.logs import LOG
from fer_train.runs.run_folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fer_train.evaluation.paired_interval import Interval

PROG: Final[str] = "fer-train ablation"
BASE: Final[str] = "base"
WITHOUT: Final[str] = "without"
"""In a variant: the switch after it, which all runs have, is left out."""
VARIANTS: Final[dict[str, list[str]]] = {
    "no flips": ["--flip", "0"],
    "no rotation": ["--rotation-degrees", "0"],
    "no zoom, no shift": ["--zoom", "0", "--shift", "0"],
    "no brightness, no contrast": ["--brightness", "0", "--contrast", "0"],
    "erasing 0.25": ["--erase", "0.25"],
    "no erasing": ["--erase", "0"],
    "mixup 0.2": ["--mixup", "0.2"],
    "cutmix 1.0": ["--cutmix", "1.0"],
    "no label smoothing": ["--label-smoothing", "0"],
    "class weighting 0.5": ["--class-weighting", "0.5"],
    "BatchNorm momentum 0.99": ["--bn-momentum", "0.99"],
    "weight averaging 0.995": ["--ema-decay", "0.995"],
    "no weight averaging": ["--ema-decay", "0"],
    "learning rate 0.0003": ["--learning-rate", "0.0003"],
    "constant rate": ["--schedule", "constant"],
    "SGD": ["--optimizer", "sgd", "--learning-rate", "0.02"],
    "no weight decay": ["--weight-decay", "0"],
    "no head epoch": ["--head-epochs", "0"],
    "last 14 of 17 blocks": ["--trainable-blocks", "14"],
    "last 4 of 17 blocks": ["--trainable-blocks", "4"],
    "all blocks to the end": ["--late-blocks", "17"],
    "full size from the start": ["--progressive-size", "0"],
    "batch 32": ["--batch-size", "32"],
    "clean": ["--clean"],
}
"""One change each to the default recipe."""


@dataclass(frozen=True)
class Effect:
    """A variant beside the base run, over the same validation images."""

    name: str
    options: list[str]
    accuracies: list[float]
    """Float accuracy of each seed, in [0, 1]."""
    gain: Interval
    """Points gained against the base runs of the same seeds, mean; the interval is that of the images alone."""
    n_images: int
    disturbed: list[float] | None = None
    """Accuracy of each seed on disturbed faces, kinds that training may use; None where a run did not ask about any."""
    held_out: list[float] | None = None
    """The same on the kinds that training never uses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, write ``effects.json`` and ``effects.md`` into ``--run``; returns the exit code."""

    def body() -> int:
        options, common = _parser().parse_known_args(argv)
        common = [text for text in common if text != "--"]
        chosen = list(VARIANTS) if options.only is None else options.only
        given = dict(_named(text) for text in options.variant or ())
        known = VARIANTS | given
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise UsageError(f"no variant {unknown[0]!r}; there are: {', '.join(known)}")
        variants: dict[str, list[str]] = {BASE: []} | {name: known[name] for name in dict.fromkeys([*chosen, *given])}
        folders = {}
        for number, (name, extra) in enumerate(variants.items(), 1):
            LOG.info(f"{number}/{len(variants)} {name} {' '.join(extra)}".rstrip())
            folders[name] = [options.run / _slug(f"{name} seed {seed}") for seed in range(options.seeds)]
            fixed = ["--data", options.data, "--qat-epochs", "0"]
            own = _without(common, extra)
            run_all([(run, [*fixed, "--seed", str(seed), *own]) for seed, run in enumerate(folders[name])])
            effects = [measure(variant, variants[variant], folders[variant], folders[BASE]) for variant in folders]
            write_text(
                options.run / "effects.json", json.dumps([_as_json(effect) for effect in effects], indent=2) + "\n"
            )
            write_text(options.run / "effects.md", markdown(effects))
        sys.stdout.write(markdown(effects))
        return 0

    return run_command(PROG, body)


def measure(name: str, options: list[str], runs: list[Path], base: list[Path]) -> Effect:
    """Compare finished runs with the base runs of the same seeds. Raises :class:`ModelError` for unreadable ones."""
    from fer_train.evaluation.paired_interval import Interval, paired_drop

    right = [_right(run) for run in runs]
    drops = [paired_drop(_right(other), mine) for mine, other in zip(right, base, strict=True)]
    gain = -statistics.fmean(drop.value for drop in drops)
    half = statistics.fmean(drop.half_width for drop in drops) / len(drops) ** 0.5
    accuracies = [float(answers.mean()) for answers in right]
    return Effect(
        name,
        options,
        accuracies,
        Interval(gain, gain - half, gain + half),
        len(right[0]),
        _disturbed(runs, "accuracy"),
        _disturbed(runs, "accuracy_held_out_kinds"),
    )


def markdown(effects: list[Effect]) -> str:
    """The table, best gain first, the base run on top; with disturbed faces where any run asked about them."""
    headings = ["change", "options", "accuracy", "gain in points (95 %)"]
    if any(effect.disturbed for effect in effects):
        headings += ["disturbed", "held-out kinds"]
    lines = [_row(headings), _row(["---", "---", *["---:"] * (len(headings) - 2)])]
    base, *others = effects
    for row in [base, *sorted(others, key=lambda effect: -effect.gain.value)]:
        gain = f"{row.gain.value:+.1f} ({row.gain.low:+.1f} to {row.gain.high:+.1f})" if row is not base else ""
        text = f"`{' '.join(row.options)}`" if row.options else ""
        cells = [row.name, text, _percent(row.accuracies), gain, _percent(row.disturbed), _percent(row.held_out)]
        lines.append(_row(cells[: len(headings)]))
    return "\n".join(lines) + f"\n\nn = {base.n_images} validation images.\n"


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=PROG,
        description="Short runs that differ from a base run in one part each. All other options are fer-train's own "
        "and go to every run, for example --epochs 6 --train-images 9600 --input-size 64.",
    )
    parser.add_verbosity()
    parser.add_argument("--data", required=True, help="as for fer-train")
    parser.add_argument("--run", required=True, type=Path, help="folder for all of it, for example runs/effects")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these of the built-in variants, or none")
    parser.add_argument(
        "--variant",
        action="append",
        metavar="NAME=OPTIONS",
        help="one more: 'erase more=--erase 0.5', or 'BatchNorm learns=without --freeze-batchnorm' for an option that "
        "all have but this one",
    )
    parser.add_argument("--seeds", type=whole(1), default=1, help="runs of each (default 1)")
    return parser


def _named(text: str) -> tuple[str, list[str]]:
    name, sign, options = text.partition("=")
    if not sign or not name.strip() or not options.strip():
        raise UsageError(f"--variant {text!r}: expected NAME=OPTIONS, such as 'erase more=--erase 0.5'")
    return name.strip(), options.split()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(values: Sequence[float] | None) -> str:
    return " ".join(f"{100 * value:.1f} %" for value in values or ())


def _without(common: Sequence[str], extra: Sequence[str]) -> list[str]:
    """The options of a variant: those of all and its own, less the switches that it names after :data:`WITHOUT`."""
    left_out = {flag for word, flag in itertools.pairwise(extra) if word == WITHOUT}
    missing = sorted(left_out - set(common))
    if missing:
        raise UsageError(f"--variant: without {missing[0]}, which the runs do not have")
    own = [word for before, word in itertools.pairwise(["", *extra]) if WITHOUT not in (before, word)]
    return [*(word for word in common if word not in left_out), *own]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "." else "-" for letter in name)


def _right(folder: Path) -> npt.NDArray[np.bool_]:
    import numpy as np

    path = RunFolder(folder).predictions
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return np.asarray(file["float"].argmax(axis=1) == file["labels"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} cannot be read ({error}); remove its folder to train it again") from error


def _disturbed(folders: Sequence[Path], key: str) -> list[float] | None:
    """A figure of the float networks on disturbed faces, where every run has it."""
    found = []
    for folder in folders:
        path = RunFolder(folder).summary
        try:
            summary = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}); remove its folder to train it again") from error
        found.append(((summary.get("float") or {}).get("disturbed") or {}).get(key))
    values = [float(value) for value in found if value is not None]
    return values if len(values) == len(found) else None


def _as_json(effect: Effect) -> dict[str, Any]:
    return {
        "name": effect.name,
        "options": effect.options,
        "accuracy": effect.accuracies,
        "gain_points": effect.gain.value,
        "gain_interval_points": [effect.gain.low, effect.gain.high],
        "n_images": effect.n_images,
        "accuracy_disturbed": effect.disturbed,
        "accuracy_held_out_kinds": effect.held_out,
    }
