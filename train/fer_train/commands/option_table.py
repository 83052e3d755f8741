"""The table of all training options in ``docs/reference/training-options.md``, made from the recipe's fields."""

from __future__ import annotations

import sys

from fer_train.runs.option import OptionField
from fer_train.runs.recipe import GROUPS, OPTIONS

_HEAD = """# Options of a training run

`fer-train` writes them to `config.json` in the folder of the run. This page is made from the fields of `Recipe`
([`recipe.py`](../../train/fer_train/runs/recipe.py)); after a change, regenerate it with
`python -m fer_train.commands.option_table > docs/reference/training-options.md`."""


def markdown() -> str:
    """The page."""
    parts = [_HEAD]
    for group in GROUPS:
        rows = [_row(field) for field in OPTIONS.values() if field.option.group == group]
        if rows:
            title = group[0].upper() + group[1:]
            parts += [f"\n## {title}\n", "| option | default | values | |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(parts) + "\n"


def _row(field: OptionField) -> str:
    values = ", ".join(f"`{choice}`" for choice in field.option.choices)
    if field.option.within is not None:
        values = str(field.option.within)
    return f"| `{field.flag}` | {field.default_text} | {values} | {field.option.help} |".replace("  ", " ")


if __name__ == "__main__":
    sys.stdout.write(markdown())
