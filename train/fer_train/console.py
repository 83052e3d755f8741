"""The console of the training side."""

from __future__ import annotations

from rich.console import Console

# As text in a notebook too, where rich would make each line an output of its own.
console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)
