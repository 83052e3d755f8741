"""The audit in a few tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fer_edge.labels import EMOTIONS
from fer_train.audit.findings import Audit, figure_text


def print_summary(audit: Audit, console: Console | None = None) -> None:
    """Print splits, findings and what cleaning would do."""
    console = console or Console(highlight=False, force_jupyter=False)
    splits = Table(title=f"{audit.dataset.source}: {audit.n_images:,} images", title_justify="left")
    splits.add_column("split")
    for name in (*EMOTIONS, "all"):
        splits.add_column(name, justify="right")
    for split in audit.splits:
        splits.add_row(split.name, *(f"{count:,}" for count in (*split.counts.values(), len(split))))
    console.print(splits)
    findings = Table(title="findings", title_justify="left")
    findings.add_column("finding")
    findings.add_column("how much")
    for finding in audit.findings:
        findings.add_row(finding.title, figure_text(finding))
    if audit.dataset.skipped:
        findings.add_row("Skipped files", f"{len(audit.dataset.skipped):,} that are no readable images")
    console.print(findings)
    if audit.votes is not None:
        votes = audit.votes
        console.print(
            f"Labels agree with the FER+ majority on {votes.agreement:.1%} of {votes.n_compared:,} images "
            f"({votes.agreement_of_voted:.1%} of all {votes.n_with_votes:,} with votes)."
        )
    if audit.clean is not None:
        console.print(f"--clean would have this effect: {audit.clean}.")
    console.print(f"Audited in {audit.seconds:.1f} s.")
