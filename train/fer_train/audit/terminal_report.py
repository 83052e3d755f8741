"""The audit in a few tables on the terminal, in plain text: ``fer-data`` needs numpy and OpenCV alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from fer_edge.labels import EMOTIONS
from fer_train.audit.findings import Audit, figure_text

__all__ = ["print_summary"]


def print_summary(audit: Audit, stream: TextIO) -> None:
    """Write splits, findings and what cleaning would do to ``stream``.

    Args:
        audit: the audit.
        stream: a text stream, such as standard output.
    """
    rows = [("split", *EMOTIONS, "all")]
    for split in audit.splits:
        rows.append((split.name, *(f"{count:,}" for count in (*split.counts.values(), len(split)))))
    _write_table(stream, f"{audit.dataset.source}: {audit.n_images:,} images", rows, numbers=True)
    rows = [("finding", "how much")]
    rows += [(finding.title, figure_text(finding)) for finding in audit.findings]
    if audit.dataset.skipped:
        rows.append(("Skipped files", f"{len(audit.dataset.skipped):,} that are not readable images"))
    _write_table(stream, "findings", rows)
    if audit.votes is not None:
        votes = audit.votes
        stream.write(
            f"Labels agree with the FER+ majority on {votes.agreement:.1%} of {votes.n_compared:,} images "
            f"({votes.agreement_of_voted:.1%} of all {votes.n_with_votes:,} with votes).\n"
        )
    if audit.clean is not None:
        stream.write(f"--clean would have this effect: {audit.clean}.\n")
    stream.write(f"Audited in {audit.seconds:.1f} s.\n")


def _write_table(stream: TextIO, title: str, rows: Sequence[Sequence[str]], *, numbers: bool = False) -> None:
    """The rows under each other, the first one underlined; with ``numbers`` all columns but the first to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "  ".join("-" * width for width in widths)
    lines = [
        "  ".join(
            cell.rjust(width) if numbers and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    stream.write("\n".join([title, lines[0], rule, *lines[1:], "", ""]))
