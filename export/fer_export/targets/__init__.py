"""Targets: one quantised network, exported to each chip by its maker's own tool, and proven there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.lazy import lazy_names
from fer_edge.registry import find_records
from fer_export.targets.spec import ArithmeticName, Target

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

__all__ = [
    "ArithmeticName",
    "Conversion",
    "Target",
    "TargetJob",
    "TargetResult",
    "chosen_targets",
    "install_targets",
    "target_rows",
    "targets",
]

_HOMES: Final[dict[str, str]] = {
    "Conversion": "fer_export.targets.job",
    "TargetJob": "fer_export.targets.job",
    "TargetResult": "fer_export.targets.job",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)


@functools.cache
def targets() -> dict[str, Target]:
    """All targets by name; imports none of their tools.

    Returns:
        ``{name: target}``, by rank.

    Raises:
        FerError: a module of ``available`` holds no target, or two have one name.
    """
    return find_records(f"{__name__}.available", "TARGET", Target)


def chosen_targets(names: Sequence[str]) -> list[Target]:
    """The targets of these names, each once, their tools looked for.

    Args:
        names: as users wrote them.

    Returns:
        The targets, in that order.

    Raises:
        UsageError: there is none of a name; the message names the nearest.
        MissingDependencyError: the tool of one is not installed here.
    """
    chosen = _by_name(names)
    for target in chosen:
        problem = target.problem()
        if problem is not None:
            raise MissingDependencyError(f"--target {target.name}: {problem}")
    return chosen


def _by_name(names: Sequence[str]) -> list[Target]:
    known = targets()
    for name in names:
        if name not in known:
            from fer_edge.command import did_you_mean  # late: with argparse and difflib behind it

            hint = did_you_mean(name, list(known))
            raise UsageError(f"unknown target {name!r}{hint}; --target list shows all {len(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def install_targets(names: Sequence[str]) -> list[str]:
    """Install the tools of these targets that live in environments of their own.

    Args:
        names: as users wrote them; also names of environments that serve no target of their own, such as ``tosa``.

    Returns:
        One line a target: what is ready, and where.

    Raises:
        UsageError: there is none of a name, or no room for its tool.
        MissingDependencyError: the tool does not exist for this machine, or cannot be had.
    """
    from fer_export.targets.environments import ENVIRONMENTS  # late: not for --target list
    from fer_export.targets.installation import install_environment

    helpers = [name for name in names if name in ENVIRONMENTS and name not in targets()]
    chosen = _by_name([name for name in names if name not in helpers])
    lines = [f"{name}: {ENVIRONMENTS[name].tool} is ready in {install_environment(name)}" for name in helpers]
    for target in chosen:
        if target.environment:
            folder = install_environment(target.environment)
            lines.append(
                f"{target.name}: {target.tool} is ready in {folder}; now: fer-export --int8 --target {target.name}"
            )
            continue
        problem = target.problem()
        if problem is not None:
            raise MissingDependencyError(f"{target.name} needs no environment of its own: {problem}")
        lines.append(f"{target.name}: {target.tool} is ready; it is installed beside the toolkit")
    return lines


def target_rows() -> list[list[str]]:
    """The table of ``--target list``.

    Returns:
        Header and a row a target.
    """
    head = ["target", "devices, for example", "tool", "environment", "here", "checked without the device"]
    rows = [
        [t.name, t.devices, t.tool, t.home, "ready" if t.problem() is None else "not installed", t.checked]
        for t in targets().values()
    ]
    return [head, *rows]
