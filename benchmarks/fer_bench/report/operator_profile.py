"""The per-operator profile as a table on the terminal and as a section of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fer_bench.report.charts import bars
from fer_bench.schema import OperatorProfile, Profile
from fer_edge.html import render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["SHOWN_ON_TERMINAL", "by_kind", "print_profile", "profile_section", "shape_text"]

SHOWN_ON_TERMINAL = 12


def print_profile(profile: Profile, out: Console) -> None:
    """Totals by kind of operator, then the slowest operators one by one.

    Args:
        profile: of one model.
        out: the terminal.
    """
    total = sum(operator.time_us for operator in profile.operators)
    out.print(
        Text.assemble(
            (f"Where the time goes: {profile.model} on {profile.backend}", "italic"),
            f" ({profile.method}; sum {total:.0f} us, whole model {profile.whole_us:.0f} us)",
            ("" if profile.valid else " INVALID", "bold red"),
        )
    )
    out.print(_table("by kind", [(kind, "", operators) for kind, operators in by_kind(profile).items()], total))
    indexed = sorted(enumerate(profile.operators), key=lambda pair: -pair[1].time_us)[:SHOWN_ON_TERMINAL]
    rows = [(f"{index} {operator.operator}", shape_text(operator), [operator]) for index, operator in indexed]
    out.print(_table(f"the {len(rows)} slowest", rows, total))
    if not profile.valid:
        out.print(Text(f"invalid: {profile.invalid_reasons[0]}", style="red"))


def by_kind(profile: Profile) -> dict[str, list[OperatorProfile]]:
    """Operators by kind, the kind that takes longest first.

    Args:
        profile: of one model.

    Returns:
        ``{kind: operators in run order}``.
    """
    kinds: dict[str, list[OperatorProfile]] = {}
    for operator in profile.operators:
        kinds.setdefault(operator.operator, []).append(operator)
    return dict(sorted(kinds.items(), key=lambda item: -sum(operator.time_us for operator in item[1])))


def profile_section(profile: Profile) -> Markup:
    """HTML: a bar for each operator in the order of computation, with its rate, and a table by kind.

    Args:
        profile: of one model.

    Returns:
        The section.
    """
    total = sum(operator.time_us for operator in profile.operators)
    labels = [f"{index} {operator.operator} {shape_text(operator)}" for index, operator in enumerate(profile.operators)]
    notes = [_note(operator, total) for operator in profile.operators]
    rows = [
        {
            "kind": kind,
            "count": len(operators),
            "us": f"{_sum_us(operators):.0f}",
            "share": f"{100 * _sum_us(operators) / total:.1f} %",
            "mmacs": _millions(operators),
            "rate": _rate(operators),
        }
        for kind, operators in by_kind(profile).items()
    ]
    caption = (
        f"{profile.method}: sum {total:.0f} us, whole model {profile.whole_us:.0f} us. In the order of computation, "
        "with the share of the sum and the rate reached in billions of multiply-accumulates per second."
    )
    return render(
        __package__ or "",
        "operator_profile.html",
        model=profile.model,
        backend=profile.backend,
        valid=profile.valid,
        rows=rows,
        svg=bars(labels, [operator.time_us for operator in profile.operators], notes, "time, us", valid=profile.valid),
        caption=caption,
    )


def shape_text(operator: OperatorProfile) -> str:
    """Shape of an operator's output.

    Args:
        operator: of a profile.

    Returns:
        ``48x48x32``, without the batch axis.
    """
    return "x".join(str(n) for n in operator.output_shape[1:])


def _table(title: str, rows: Sequence[tuple[str, str, list[OperatorProfile]]], total_us: float) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operator", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for heading in ("count", "us", "share", "MMACs", "GMAC/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, shape, operators in rows:
        us = _sum_us(operators)
        share = f"{100 * us / total_us:.1f} %"
        table.add_row(name, shape, str(len(operators)), f"{us:.1f}", share, _millions(operators), _rate(operators))
    return table


def _note(operator: OperatorProfile, total_us: float) -> str:
    rate = operator.rate_gmac_per_s
    return f"{100 * operator.time_us / total_us:.1f} %" + (f", {rate:.0f} GMAC/s" if rate else "")


def _sum_us(operators: Sequence[OperatorProfile]) -> float:
    return sum(operator.time_us for operator in operators)


def _macs(operators: Sequence[OperatorProfile]) -> int | None:
    known = [operator.n_macs for operator in operators if operator.n_macs is not None]
    return sum(known) if len(known) == len(operators) else None


def _millions(operators: Sequence[OperatorProfile]) -> str:
    macs = _macs(operators)
    return "unknown" if macs is None else f"{macs / 1e6:.2f}" if macs else "-"


def _rate(operators: Sequence[OperatorProfile]) -> str:
    macs = _macs(operators)
    return f"{macs / _sum_us(operators) / 1000:.1f}" if macs and _sum_us(operators) else "-"
