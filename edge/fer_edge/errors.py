"""Every error that the toolkit raises on purpose, in one tree.

::

    FerError                     exit 2
    ├── UsageError               exit 2   the command line or a configuration is wrong
    ├── InputError               exit 2   something given to us cannot be used
    │   ├── DataError            exit 2   a data set: missing class, truncated zip, no such split
    │   ├── ModelError           exit 2   a model file: not a model, truncated, another shape than expected
    │   └── SourceError          exit 2   an image, a video, a stream
    ├── CheckFailedError         exit 1   a check ran and failed: accuracy gate, golden vectors
    ├── MissingDependencyError   exit 3   a package is not installed; the message holds the install line
    └── DeviceError              exit 3   a camera or an accelerator is not there or not usable

A message says what was expected, what came, and what to do, in one or two lines.
"""

from __future__ import annotations

__all__ = [
    "CheckFailedError",
    "DataError",
    "DeviceError",
    "FerError",
    "InputError",
    "MissingDependencyError",
    "ModelError",
    "SourceError",
    "UsageError",
]


class FerError(Exception):
    """Base of all errors of the toolkit; ``exit_code`` is what a command that ends with it returns.

    Its message never holds a password: see :mod:`fer_edge.redact`.

    Args:
        args: as an :class:`Exception` takes them: one line of text.
    """

    exit_code = 2

    def __init__(self, *args: object) -> None:
        from fer_edge.redact import redact  # late: what goes well needs none of its patterns

        super().__init__(*(redact(arg) if isinstance(arg, str) else arg for arg in args))


class UsageError(FerError):
    """The command line or a configuration file asks for something that does not exist or does not fit together."""


class InputError(FerError):
    """A file or stream that was given cannot be used."""


class DataError(InputError):
    """A data set is missing, damaged, or lacks a class or a split."""


class ModelError(InputError):
    """A model file is missing, damaged, or not a seven-class emotion model."""


class SourceError(InputError):
    """An image, a video file or a stream cannot be read."""


class CheckFailedError(FerError):
    """A check was carried out and failed: this is a result, not a malfunction."""

    exit_code = 1


class MissingDependencyError(FerError):
    """A package that this feature needs is not installed."""

    exit_code = 3

    @classmethod
    def for_extra(cls, package: str, extra: str) -> MissingDependencyError:
        """The error for an import of ``package`` that failed.

        Args:
            package: what could not be imported, for the message.
            extra: the extra of ``pyproject.toml`` that it belongs to. The message names those of its packages that are
                missing: the toolkit itself is on no package index, so its extras cannot be asked for by name.

        Returns:
            The error, to be raised.
        """
        from fer_edge.extras import EXTRAS, missing_packages

        missing = missing_packages(extra)
        if not missing:  # installed and broken: installing again may help
            return cls(f"{package} cannot be imported; install again: pip install {' '.join(EXTRAS[extra])}")
        return cls(f"{package} is not installed; install it with: pip install {' '.join(missing)}")


class DeviceError(FerError):
    """A camera, an accelerator or a display is missing or cannot be used."""

    exit_code = 3
