"""What the command lines of all four packages share: one-line errors and the exit codes of the contract."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fer_edge.errors import FerError, UsageError
from fer_edge.logs import set_verbosity, shown_on_stderr
from fer_edge.missing import explained
from fer_edge.redact import redact

__all__ = ["EXIT_INTERRUPTED", "CommandParser", "Nowhere", "counted", "did_you_mean", "run_command", "say"]

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?`` for the nearest of the ``known`` names, or nothing where none is near.

    Args:
        word: what the user typed.
        known: the names there are.

    Returns:
        The hint, or an empty string.
    """

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class CommandParser(argparse.ArgumentParser):
    """``argparse`` that answers a mistake in one line, and names the nearest option to an unknown one.

    Args:
        *args: as for :class:`argparse.ArgumentParser`.
        **kwargs: as for :class:`argparse.ArgumentParser`; ``allow_abbrev`` is off unless given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)  # --epoch is a typing error, not --epochs
        for text in ("description", "epilog"):  # often a module's docstring, with the marks of documentation in it
            kwargs[text] = (kwargs.get(text) or "").replace("``", "") or None
        super().__init__(*args, **kwargs)
        self._has_verbosity = False

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse; an unknown option is an error that suggests the nearest known one.

        Args:
            args: arguments without the program's name; None takes those of the process.
            namespace: not used; as :mod:`argparse` has it.

        Returns:
            The options, defaults filled in.

        Raises:
            UsageError: an unknown option or a bad value.
        """
        given = list(sys.argv[1:] if args is None else args)
        several = [action.dest for action in self._actions if action.nargs == "*" and not action.option_strings]
        if several:
            # Plain arguments may stand on both sides of an option (`a.jpg --quiet b.jpg`), and behind `--`, which
            # argparse's own way of mixing them does not know.
            cut = given.index("--") if "--" in given else len(given)
            parsed, unknown = self.parse_known_intermixed_args(given[:cut], namespace)
            setattr(parsed, several[0], [*getattr(parsed, several[0]), *given[cut + 1 :]])
        else:
            parsed, unknown = self.parse_known_args(given, namespace)
        if unknown:
            self._refuse_unknown(unknown[0], given)
        if self._has_verbosity:
            set_verbosity(quiet=getattr(parsed, "quiet", False), verbose=getattr(parsed, "verbose", False))
        return parsed

    def add_verbosity(self) -> None:
        """Add ``--quiet`` and ``--verbose``, the same for every command; :meth:`parse_args` puts them into force."""
        self._has_verbosity = True
        how_much = self.add_mutually_exclusive_group()
        how_much.add_argument("--quiet", action="store_true", help="errors only: no notices; results are still printed")
        how_much.add_argument("--verbose", action="store_true", help="more notices, for finding out what goes on")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print the help; ``argparse`` would keep a full disk to itself where the text is longer than the buffer."""
        (file or sys.stdout).write(message)

    def _refuse_unknown(self, word: str, given: Sequence[str]) -> NoReturn:
        """Say what an unknown word may have meant, by the options of the subcommand that was asked for."""
        if word.startswith("-") and os.path.lexists(word):
            self.error(f"unknown argument {word}; if the file of that name is meant: .{os.sep}{word}")
        chosen = self._subcommand(given)
        chosen.error(f"unknown argument {word}{did_you_mean(word.partition('=')[0], chosen._options())}")

    def _subcommand(self, given: Sequence[str]) -> CommandParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers: dict[str, CommandParser] = action.choices
                return next((parsers[word]._subcommand(given) for word in given if word in parsers), self)
        return self

    def add_version(self) -> None:
        """Add ``--version``, the same for every command; the work is done only when it is asked for."""
        self.add_argument("--version", action=_Version, help="print the versions in use and exit")

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage, which would bury the message.

        Args:
            message: what is wrong.

        Raises:
            UsageError: always, with ``message`` and where help is found.
        """
        raise UsageError(f"{message} (see {self.prog} --help)")


def counted(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``.

    Args:
        number: how many.
        noun: in the singular; the plural adds an s.

    Returns:
        Both, the noun in the right number.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Write a line without passwords to standard error, if anybody reads it.

    A closed terminal must not cost a recording.

    Args:
        text: the line, without its end.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"{redact(text)}\n")
            sys.stderr.flush()


class _Version(argparse.Action):
    """Prints what :func:`fer_edge.versions.version_text` says, and ends; wins over missing required options."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, **kwargs | {"nargs": 0, "default": argparse.SUPPRESS})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        from fer_edge.versions import version_text

        sys.stdout.write(version_text(parser.prog) + "\n")
        parser.exit()


class Nowhere(io.TextIOWrapper):
    """What stands in for a standard output that whoever started us has closed.

    Python sets ``sys.stdout`` to None then. Being opened first, this takes the closed descriptor's number, too, so that
    no file of ours gets it: a C library that prints would write into that file.
    """

    def __init__(self) -> None:
        super().__init__(io.FileIO(os.devnull, "w"), encoding="utf-8")


@contextlib.contextmanager
def _somewhere_to_print() -> Iterator[None]:
    if sys.stdout is not None:
        yield
        return
    with Nowhere() as nowhere:
        sys.stdout = nowhere
        try:
            yield
        finally:
            sys.stdout = None


def run_command(name: str, body: Callable[[], int]) -> int:
    """Run ``body`` and turn every expected failure into one or two lines on stderr and an exit code.

    What was printed is flushed here, not at the interpreter's exit: only here can a reader that went away (``| head``)
    end the command quietly, and a full disk end it with a message.

    Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 missing dependency or device, 130 interrupted.

    Args:
        name: of the command, before each message.
        body: does the work and returns the exit code.

    Returns:
        The exit code.
    """
    with _somewhere_to_print(), shown_on_stderr(name):
        return _run(name, body)


def _run(name: str, body: Callable[[], int]) -> int:
    try:
        _take_any_text()
        try:
            with explained():
                code = body()
        except SystemExit:  # --help
            _flush()
            raise
        _flush()
        return code
    except FerError as error:
        say(f"{name}: error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        return 0
    except OSError as error:  # a full disk, a missing permission: the system's words are the clearest
        where = f" {error.filename}:" if error.filename else ""
        say(f"{name}: error:{where} {error.strerror or error}")
        return 2
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # Rich's own way of ending at a broken pipe, with 1
            return 0
        raise
    finally:
        _let_go_of_stdout()


def _take_any_text() -> None:
    """Print file names of any encoding in any locale: what cannot be encoded is escaped instead of ending us."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _let_go_of_stdout() -> None:
    """Lead standard output to nowhere if it cannot be written: the interpreter would complain at its exit.

    An output's own thread may have met the broken pipe and kept it to itself; the text then still waits in the buffer.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            sys.stdout.flush()
