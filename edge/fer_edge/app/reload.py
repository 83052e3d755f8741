"""What has changed between two readings of a configuration with several cameras."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fer_edge.app.camera_tables import CameraSetup, camera_options
from fer_edge.app.config_file import file_options
from fer_edge.app.options import build_parser
from fer_edge.outputs.available import outputs
from fer_edge.outputs.open import is_own

__all__ = ["Changes", "changes_between"]

_ENGINE: Final = ("detector", "detector_model", "detect_width", "model", "backend", "threads")
_ALSO: Final = {"web": ("history",), "metrics": ("web_token", "web_token_file")}
"""Options of others that an output uses, too."""
_AT_START: Final = ("cores", "opencv_threads", "quiet", "verbose")
"""What is set once for the process."""


@dataclass(frozen=True)
class Changes:
    """Names of what differs."""

    added: tuple[str, ...] = ()
    """Cameras that are new."""
    removed: tuple[str, ...] = ()
    """Cameras that are gone."""
    changed: tuple[str, ...] = ()
    """Cameras of which an option differs."""
    outputs: tuple[str, ...] = ()
    """Outputs of all cameras of which an option differs."""
    engine: bool = False
    """Whether the detector or the network differs, so that every camera begins again."""
    later: tuple[str, ...] = ()
    """Options that only count at the next start."""

    def summary(self) -> str:
        """What is done about it, in a few words.

        Returns:
            For a notice.
        """
        kinds = (
            ("added", self.added),
            ("removed", self.removed),
            ("started again", self.changed),
            ("opened again", self.outputs),
            ("from the next start on", tuple(f"--{name.replace('_', '-')}" for name in self.later)),
        )
        parts = [f"{kind} {', '.join(names)}" for kind, names in kinds if names]
        return "; ".join(parts) or "nothing has changed"


def changes_between(before: argparse.Namespace, after: argparse.Namespace) -> Changes:
    """Compare two sets of options.

    Args:
        before: those in use, with ``cameras``.
        after: as they were read now.

    Returns:
        The differences.
    """
    old = {setup.name: setup for setup in before.cameras}
    new = {setup.name: setup for setup in after.cameras}
    engine = _differ(before, after, _ENGINE)
    keys = [action.dest for action in camera_options(file_options(build_parser())).values()]
    changed = [
        name for name in new if name in old and (engine or _has_changed(old[name], new[name], (before, after), keys))
    ]
    return Changes(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(changed),
        outputs=tuple(
            spec.name
            for spec in outputs().values()
            if not (spec.of_each_source or spec.of_each_camera)
            and _differ(before, after, [option.dest for option in spec.options] + list(_ALSO.get(spec.name, ())))
        ),
        engine=engine,
        later=tuple(name for name in _AT_START if _differ(before, after, [name])),
    )


def _has_changed(
    old: CameraSetup, new: CameraSetup, everybody: tuple[argparse.Namespace, argparse.Namespace], keys: Sequence[str]
) -> bool:
    counted = set(keys)
    for spec in outputs().values():
        dests = {option.dest for option in spec.options} - {"name"}
        if any(is_own(spec, common, each.arguments) for common, each in zip(everybody, (old, new), strict=True)):
            counted |= dests
        else:
            counted -= dests
    return _differ(old.arguments, new.arguments, sorted(counted))


def _differ(before: argparse.Namespace, after: argparse.Namespace, names: Sequence[str]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in names)
