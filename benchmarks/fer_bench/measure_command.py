"""``fer-bench [options]``: measure models, print the tables, write the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fer_bench.log import LOG
from fer_bench.measure.measurement import contenders_of, measure_models, verify_contenders
from fer_bench.progress import progress_bar, require_rich
from fer_bench.report.file_name import conditions_name
from fer_bench.report.writable import check_writable
from fer_bench.report_file import write_report
from fer_bench.request import BenchRequest, Destinations
from fer_bench.schema import Report
from fer_edge.errors import CheckFailedError
from fer_edge.html import require_jinja
from fer_train.wording import counted

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

    from fer_bench.measure.worker_client import Contender

__all__ = ["measure_main"]


def measure_main(
    request: BenchRequest,
    destinations: Destinations,
    *,
    verify: bool = False,
    require_valid: bool = False,
    command: Sequence[str] = (),
) -> int:
    """Measure, print the tables, write the files.

    Args:
        request: what to measure, and how.
        destinations: files to write.
        verify: replay the golden vectors first, and measure nothing where they differ.
        require_valid: fail when a figure is not valid.
        command: the command line, for the report.

    Returns:
        The exit code.

    Raises:
        CheckFailedError: golden vectors differ, or a measurement is not valid and has to be.
        UsageError: options that do not go together, or a file that could not be written.
        MissingDependencyError: a package for the tables or the page is not installed.
    """
    if request.cameras is not None:
        from fer_bench.cameras.command import cameras_main

        return cameras_main(request, destinations, require_valid=require_valid, command=command)
    contenders = contenders_of(request)
    check_writable(destinations.html)
    check_writable(destinations.json, may_be_folder=True)
    require_rich()
    if destinations.html:
        require_jinja()
    from fer_bench.report.terminal import console

    out = console()
    if verify:
        _verify(contenders, out)
    with progress_bar() as progress:
        report = measure_models(request, contenders, on_progress=progress, command=command)
    _print(report, out, scaling=request.scaling)
    _write(report, destinations)
    if require_valid:
        _check_valid([*(result.valid for result in report.results), *(run.valid for run in report.end_to_end)])
    return 0


def _verify(contenders: Sequence[Contender], out: Console) -> None:
    reports = verify_contenders(contenders)
    for report in reports:
        for line in report.lines():
            out.print(line)
    failed = [report for report in reports if not report.passed]
    if failed:
        raise CheckFailedError(f"golden vectors: {failed[0].summary}")


def _print(report: Report, out: Console, *, scaling: bool) -> None:
    from fer_bench.report.end_to_end import print_end_to_end
    from fer_bench.report.operator_profile import print_profile
    from fer_bench.report.terminal import print_machine, print_report, scaling_table

    if report.end_to_end:
        print_machine(report.machine, report.conditions, out)
        print_end_to_end(report.end_to_end, out)
    else:
        print_report(report, out)
        if scaling:
            out.print(scaling_table(report.results))
    for profile in report.profiles:
        print_profile(profile, out)


def _write(report: Report, destinations: Destinations) -> None:
    if destinations.json:
        path = destinations.json / conditions_name(report) if destinations.json.is_dir() else destinations.json
        write_report(report, path)
        LOG.info("wrote %s", path)
    if destinations.html:
        from fer_bench.report.html_page import write_page

        write_page(report, destinations.html, _sections(report))
        LOG.info("wrote %s", destinations.html)


def _sections(report: Report) -> list[Markup]:
    from fer_bench.report.operator_profile import profile_section

    sections = [profile_section(profile) for profile in report.profiles]
    if report.end_to_end:
        from fer_bench.report.end_to_end import end_to_end_section

        sections.append(end_to_end_section(report.end_to_end))
    return sections


def _check_valid(valid: Sequence[bool]) -> None:
    if not all(valid):
        wrong = len(valid) - sum(valid)
        raise CheckFailedError(f"{wrong} of {counted(len(valid), 'speed measurement')} invalid; reasons above")
