"""``fer-bench robustness``: evaluate, print, write."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Sequence

from fer_bench.log import LOG
from fer_bench.progress import progress_bar, require_rich
from fer_bench.report.writable import check_writable
from fer_bench.request import RobustnessRequest
from fer_bench.robustness.evaluate import kinds_called, measure_robustness
from fer_edge.files import write_text
from fer_train.disturbances import KINDS

__all__ = ["print_kinds", "robustness_main"]


def robustness_main(request: RobustnessRequest, command: Sequence[str]) -> int:
    """Evaluate, print the tables, write the files.

    Args:
        request: what to evaluate.
        command: as typed, for the report.

    Returns:
        The exit code.

    Raises:
        FerError: a model, a data set or an option that cannot be used, or a package that is missing.
    """
    for path in (request.json, request.markdown, request.picture):
        check_writable(path)
    require_rich()
    if request.picture:
        from fer_bench.robustness.picture import require_matplotlib

        require_matplotlib()
    with progress_bar() as on_progress:
        report = measure_robustness(request, command, on_progress)
    from fer_bench.report.terminal import console
    from fer_bench.robustness.markdown import markdown
    from fer_bench.robustness.terminal import print_robustness

    print_robustness(report, console())
    if request.json:
        write_text(request.json, report.as_json())
        LOG.info("wrote %s", request.json)
    if request.markdown:
        write_text(request.markdown, markdown(dataclasses.asdict(report)))
        LOG.info("wrote %s", request.markdown)
    if request.picture:
        from fer_bench.robustness.picture import draw

        draw(report, request.picture)
        LOG.info("wrote %s", request.picture)
    return 0


def print_kinds(request: RobustnessRequest) -> int:
    """Print every kind that is asked for: strengths, formula and source.

    Args:
        request: names of kinds.

    Returns:
        The exit code.

    Raises:
        UsageError: an unknown kind.
    """
    for name in kinds_called(request.kinds):
        kind = KINDS[name]
        amounts = " / ".join(f"{amount:g}" for amount in kind.amounts)
        held_out = "; held out of training" if kind.held_out else ""
        sys.stdout.write(f"{name}: {kind.title}, {amounts} {kind.unit}{held_out}\n")
        text = inspect.getdoc(kind.formula) or ""
        sys.stdout.write("".join(f"    {line}".rstrip() + "\n" for line in text.replace("``", "").splitlines()) + "\n")
    return 0
