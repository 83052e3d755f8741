"""The per-operator profile as a table on the terminal and as a section of the page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fer_bench.report.charts import bars
from fer_bench.schema import OperatorProfile, Profile

SHOWN_ON_TERMINAL = 12


def print_profile(profile: Profile, out: Console) -> None:
    """Totals by kind of operator, then the slowest operators one by one."""
    total = sum(one.time_us for one in profile.operators)
    out.print(
        Text.assemble(
            (f"Where the time goes: {profile.model} on {profile.backend}", "italic"),
            f" ({profile.method}; sum {total:.0f} us, whole model {profile.whole_us:.0f} us)",
            ("" if profile.valid else " INVALID", "bold red"),
        )
    )
    out.print(_table("by kind", [(kind, "", ones) for kind, ones in by_kind(profile).items()], total))
    indexed = sorted(enumerate(profile.operators), key=lambda pair: -pair[1].time_us)[:SHOWN_ON_TERMINAL]
    rows = [(f"{index} {one.operator}", shape_text(one), [one]) for index, one in indexed]
    out.print(_table(f"the {len(rows)} slowest", rows, total))
    if not profile.valid:
        out.print(Text(f"invalid: {profile.invalid_reasons[0]}", style="red"))


def by_kind(profile: Profile) -> dict[str, list[OperatorProfile]]:
    """Operators by kind, the kind that takes longest first."""
    kinds: dict[str, list[OperatorProfile]] = {}
    for one in profile.operators:
        kinds.setdefault(one.operator, []).append(one)
    return dict(sorted(kinds.items(), key=lambda item: -sum(one.time_us for one in item[1])))


def profile_section(profile: Profile) -> str:
    """HTML: a bar for each operator in the order of computation, with its rate, and a table by kind."""
    total = sum(one.time_us for one in profile.operators)
    labels = [f"{index} {one.operator} {shape_text(one)}" for index, one in enumerate(profile.operators)]
    notes = [_note(one, total) for one in profile.operators]
    picture = bars(labels, [one.time_us for one in profile.operators], notes, "time, us", valid=profile.valid)
    kind_of_row = "" if profile.valid else ' class="invalid"'
    speed = '<td class="speed">'
    rows = "".join(
        f"<tr{kind_of_row}><td>{html.escape(kind)}</td><td>{len(ones)}</td>"
        f"{speed}{_sum_us(ones):.0f}</td>{speed}{100 * _sum_us(ones) / total:.1f} %</td>"
        f"<td>{_millions(ones)}</td>{speed}{_rate(ones)}</td></tr>"
        for kind, ones in by_kind(profile).items()
    )
    mark = "" if profile.valid else ' <span class="bad">invalid timing</span>'
    caption = (
        f"{profile.method}: sum {total:.0f} us, whole model {profile.whole_us:.0f} us. In the order of computation, "
        "with the share of the sum and the rate reached in billions of multiply-accumulates a second."
    )
    return (
        f"<h2>Where the time goes: {html.escape(profile.model)} on {html.escape(profile.backend)}{mark}</h2>"
        "<table><thead><tr><th>operator</th><th>count</th><th>us</th><th>share</th><th>MMACs</th><th>GMAC/s</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
        f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def shape_text(one: OperatorProfile) -> str:
    """``48x48x32``, without the batch axis."""
    return "x".join(str(n) for n in one.output_shape[1:])


def _table(title: str, rows: Sequence[tuple[str, str, list[OperatorProfile]]], total_us: float) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operator", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for heading in ("count", "us", "share", "MMACs", "GMAC/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, shape, ones in rows:
        us = _sum_us(ones)
        share = f"{100 * us / total_us:.1f} %"
        table.add_row(name, shape, str(len(ones)), f"{us:.1f}", share, _millions(ones), _rate(ones))
    return table


def _note(one: OperatorProfile, total_us: float) -> str:
    rate = one.rate_gmac_per_s
    return f"{100 * one.time_us / total_us:.1f} %" + (f", {rate:.0f} GMAC/s" if rate else "")


def _sum_us(ones: Sequence[OperatorProfile]) -> float:
    return sum(one.time_us for one in ones)


def _macs(ones: Sequence[OperatorProfile]) -> int | None:
    known = [one.n_macs for one in ones if one.n_macs is not None]
    return sum(known) if len(known) == len(ones) else None


def _millions(ones: Sequence[OperatorProfile]) -> str:
    macs = _macs(ones)
    return "unknown" if macs is None else f"{macs / 1e6:.2f}" if macs else "-"


def _rate(ones: Sequence[OperatorProfile]) -> str:
    macs = _macs(ones)
    return f"{macs / _sum_us(ones) / 1000:.1f}" if macs and _sum_us(ones) else "-"
