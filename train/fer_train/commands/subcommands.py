"""What follows ``fer-train``: nothing but options for a training run, or one of these words."""

from __future__ import annotations

from typing import Final

from fer_edge.subcommands import Subcommand, Subcommands

__all__ = ["SUBCOMMANDS", "main"]

SUBCOMMANDS: Final = Subcommands(
    "fer-train",
    "fer_train.commands.train:main",
    {
        "teach": Subcommand(
            "fer_train.commands.train_with_teachers:main", "the most accurate recipe: teachers, then the student"
        ),
        "calibrate": Subcommand("fer_train.commands.calibrate:main", "fit the temperature of a finished run"),
        "average": Subcommand("fer_train.commands.average:main", "average the weights of several runs"),
        "ablation": Subcommand(
            "fer_train.commands.ablation:main", "ablation: what each part of the recipe contributes, by short runs"
        ),
        "speed": Subcommand("fer_train.commands.input_speed:main", "does the input pipeline slow training down?"),
    },
)
main = SUBCOMMANDS.main


if __name__ == "__main__":
    raise SystemExit(main())
