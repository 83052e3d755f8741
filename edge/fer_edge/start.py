"""Where the six commands start: Ctrl-C is one line from the first moment on, also while their modules are imported.

Nothing but ``sys`` is imported outside the ``try``: the less there is, the shorter the moment in which Python itself
answers an interrupt, with a traceback.
"""

from __future__ import annotations

import sys

__all__ = ["fer_analyze", "fer_bench", "fer_camera", "fer_data", "fer_export", "fer_train", "was_interrupted"]

_INTERRUPTED = 130  # fer_edge.command.EXIT_INTERRUPTED, without importing what comes with it
_INTERRUPTS: list[str] = []  # one entry for each that came


def was_interrupted(error: BaseException) -> bool:
    """Whether an exception comes from Ctrl-C: a :class:`KeyboardInterrupt`, or whatever a failed import made of it.

    Args:
        error: the exception.

    Returns:
        True for an interrupt; for another exception, whether an interrupt came before it.
    """
    return isinstance(error, KeyboardInterrupt) or bool(_INTERRUPTS)


def fer_camera() -> int:
    """Run ``fer-camera`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-camera", "fer_edge.app.cli")


def fer_analyze() -> int:
    """Run ``fer-analyze`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-analyze", "fer_edge.analysis.cli")


def fer_data() -> int:
    """Run ``fer-data`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-data", "fer_train.commands.data")


def fer_train() -> int:
    """Run ``fer-train`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-train", "fer_train.commands.subcommands")


def fer_export() -> int:
    """Run ``fer-export`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-export", "fer_export.cli")


def fer_bench() -> int:
    """Run ``fer-bench`` with the arguments of the process.

    Returns:
        The exit code.
    """
    return _start("fer-bench", "fer_bench.cli")


def _start(prog: str, module: str) -> int:
    """Import ``module`` and call its ``main``; what a command does not catch itself, before and after it, is caught.

    C extensions turn an interrupt during their import into an error of their own, so that none is believed then.
    """
    try:
        import signal

        def interrupt(*_: object) -> None:
            _INTERRUPTS.append(prog)
            raise KeyboardInterrupt

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as behind nohup
            signal.signal(signal.SIGINT, interrupt)
        __import__(module)
        code: int = sys.modules[module].main()
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is written: Ctrl-C ends Python's own end without a word
        return code
    except (Exception, KeyboardInterrupt) as error:
        if not was_interrupted(error):
            raise
        if sys.stderr is not None:
            sys.stderr.write(f"{prog}: interrupted\n")
        return _INTERRUPTED
