"""The audit as one HTML page that needs nothing else: figures, and pictures of each finding."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.audit.crowd_agreement import VoteAudit
from fer_train.audit.findings import Audit, Finding, figure_text
from fer_train.data.crowd_votes import OTHER_COLUMNS

GROUPS_SHOWN: Final[int] = 48
IMAGES_SHOWN: Final[int] = 6
_STYLE: Final[str] = """
:root{--ink:#1d2433;--soft:#5d677a;--line:#dfe3ea;--paper:#fff;--wash:#f5f7fa;--bar:#3b6fb6;--warn:#b4391f}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#9aa5b8;--line:#333c4d;--paper:#161b24;--wash:#1e2531;
--bar:#6d9fe0;--warn:#ff8a6b}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1080px;margin:0 auto;
padding:24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 4px;padding-top:14px;border-top:1px solid var(--line)}
p{margin:4px 0 10px}.soft{color:var(--soft)}.warn{color:var(--warn);font-weight:600}code{word-break:break-all}
table{border-collapse:collapse;margin:10px 0}td,th{padding:4px 10px;text-align:right;
border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}th{font-weight:600;color:var(--soft)}
.scroll{overflow-x:auto}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px;margin:16px 0}
.card{background:var(--wash);border-radius:8px;padding:10px 14px}.card b{display:block;font-size:22px}
.groups{display:flex;flex-wrap:wrap;gap:10px}
.group{background:var(--wash);border-radius:8px;padding:6px;display:grid;gap:6px;align-content:start}
figure{margin:0;width:76px}figure img{width:76px;height:76px;border-radius:4px;display:block}
figcaption{font-size:11px;line-height:1.25;color:var(--soft);overflow-wrap:anywhere}
figcaption b{color:var(--ink)}.note{grid-column:1/-1;font-size:11px;color:var(--soft)}
.bar{fill:var(--bar)}text{fill:var(--ink);font-size:12px}
"""


def write_report(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the page to ``path``, atomically."""
    write_text(path, render_report(audit))


def render_report(audit: Audit) -> str:
    """The page as text; pictures are inside it."""
    title = f"Audit of {audit.dataset.source.name}"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='soft'>{audit.n_images:,} images of {audit.dataset.side}x{audit.dataset.side} pixels, "
        f"content <code>{audit.dataset.fingerprint[:16]}</code>, audited by fer-data in {audit.seconds:.0f} s</p>",
        _cards(audit),
        "<h2>Splits and classes</h2>",
        _class_table(audit),
        _class_bars(audit),
        _sizes(audit),
        _cleaning(audit),
    ]
    if audit.votes is not None:
        parts.append(_votes(audit.votes))
    parts.extend(_finding(audit, finding) for finding in audit.findings if finding.key != "class_balance")
    parts.append(_skipped(audit))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _cards(audit: Audit) -> str:
    cards = []
    for finding in audit.findings:
        name, value = next(iter(finding.figures.items()))
        if finding.key == "class_balance":
            name, value = "ratio", finding.figures["ratio"]
        shown = f"{value:,.0f}" if name != "ratio" else f"{value:.1f} : 1"
        cards.append(
            f"<a class='card' href='#{finding.key}' style='color:inherit;text-decoration:none'><b>{shown}</b>"
            f"{html.escape(finding.title)}<br><span class='soft'>{name.replace('_', ' ')}</span></a>"
        )
    return f"<div class='cards'>{''.join(cards)}</div>"


def _class_table(audit: Audit) -> str:
    head = "".join(f"<th>{name}</th>" for name in (*EMOTIONS, "all"))
    rows = []
    for split in audit.splits:
        cells = "".join(f"<td>{count:,}</td>" for count in (*split.counts.values(), len(split)))
        rows.append(f"<tr><td>{split.name}</td>{cells}</tr>")
    return f"<div class='scroll'><table><tr><th>split</th>{head}</tr>{''.join(rows)}</table></div>"


def _class_bars(audit: Audit) -> str:
    counts = audit.splits[0].counts
    most = max(1, *counts.values())
    bars = []
    for i, (name, count) in enumerate(counts.items()):
        y, width = 8 + 26 * i, 520 * count / most
        bars.append(
            f"<text x='70' y='{y + 14}' text-anchor='end'>{name}</text>"
            f"<rect class='bar' x='80' y='{y}' width='{width:.1f}' height='18' rx='3'/>"
            f"<text x='{86 + width:.1f}' y='{y + 14}'>{count:,}</text>"
        )
    balance = audit.finding("class_balance")
    return (
        f"<p id='class_balance'>{html.escape(balance.meaning)}</p>"
        f"<svg viewBox='0 0 680 {16 + 26 * len(counts)}' width='680' style='max-width:100%' role='img' "
        f"aria-label='images of each class'>{''.join(bars)}</svg>"
    )


def _sizes(audit: Audit) -> str:
    sizes = sorted(audit.dataset.sizes.items(), key=lambda item: -item[1])
    if not sizes:
        return ""
    shown = ", ".join(f"{size}: {count:,}" for size, count in sizes[:8])
    more = f" and {len(sizes) - 8} more sizes" if len(sizes) > 8 else ""
    return f"<p>Original sizes: {html.escape(shown)}{more}.</p>"


def _cleaning(audit: Audit) -> str:
    if audit.clean is None:
        return ""
    return (
        f"<p><b>Cleaning</b> (<code>--clean</code>) {html.escape(str(audit.clean))}. Evaluation splits stay whole.</p>"
    )


def _votes(votes: VoteAudit) -> str:
    answers = (*EMOTIONS, *OTHER_COLUMNS)
    head = "".join(f"<th>{name}</th>" for name in answers)
    rows = []
    for name, row in zip(EMOTIONS, votes.confusion, strict=True):
        total = max(1, int(row.sum()))
        cells = []
        for answer, count in zip(answers, row, strict=True):
            share = int(count) / total
            weight = "font-weight:600;" if answer == name else ""
            shade = f"background:rgba(59,111,182,{0.75 * share:.2f});{weight}"
            cells.append(f"<td style='{shade}'>{int(count):,}</td>")
        agreement = votes.agreement_per_class[name]
        rows.append(f"<tr><td>{name}</td>{''.join(cells)}<td>{agreement:.0%}</td></tr>")
    return (
        "<h2 id='ferplus'>Labels against FER+</h2>"
        f"<p>On {votes.n_compared:,} images whose most frequent answer is one of the seven, label and crowd agree on "
        f"<b>{votes.agreement:.1%}</b>; on all {votes.n_with_votes:,} with votes, {votes.agreement_of_voted:.1%}. "
        f"{votes.not_a_face:,} images were called not a face, or dropped by FER+.</p>"
        "<p class='soft'>Rows: labels of the data set. Columns: the crowd's most frequent answer.</p>"
        f"<div class='scroll'><table><tr><th>label</th>{head}<th>agree</th></tr>{''.join(rows)}</table></div>"
    )


def _finding(audit: Audit, finding: Finding) -> str:
    shown = finding.groups[:GROUPS_SHOWN]
    notes = finding.notes or ("",) * len(finding.groups)
    boxes = "".join(_group(audit, group, note) for group, note in zip(shown, notes, strict=False))
    hidden = len(finding.groups) - len(shown)
    more = f"<p class='soft'>and {hidden:,} more, in the JSON report</p>" if hidden else ""
    count = next(iter(finding.figures.values()))
    none = "<p class='soft'>None found.</p>" if not count else ""
    return (
        f"<h2 id='{finding.key}'>{html.escape(finding.title)}</h2>"
        f"<p>{html.escape(finding.meaning)}</p><p class='{'warn' if count else 'soft'}'>{figure_text(finding)}</p>"
        f"{none}<div class='groups'>{boxes}</div>{more}"
    )


def _group(audit: Audit, group: Iterable[np.int64], note: str) -> str:
    members = [int(i) for i in group]
    figures = []
    for i in members[:IMAGES_SHOWN]:
        split, at = audit.locate(i)
        facts = audit.describe(i)
        name = facts["name"].rpartition("/")[2]
        figures.append(
            f"<figure><img alt='' src='{_data_url(split.images[at])}'><figcaption><b>{facts['label']}</b> "
            f"{facts['split']}<br>{html.escape(name)}</figcaption></figure>"
        )
    if len(members) > IMAGES_SHOWN:
        note = f"{note} {len(members)} images".strip()
    shown_note = f"<div class='note'>{html.escape(note)}</div>" if note else ""
    columns = f"grid-template-columns:repeat({min(len(members), IMAGES_SHOWN)},76px)"
    return f"<div class='group' style='{columns}'>{''.join(figures)}{shown_note}</div>"


def _data_url(image: npt.NDArray[np.uint8]) -> str:
    content = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def _skipped(audit: Audit) -> str:
    skipped = audit.dataset.skipped
    if not skipped:
        return ""
    rows = "".join(f"<tr><td>{html.escape(n)}</td><td>{html.escape(reason)}</td></tr>" for n, reason in skipped[:200])
    return (
        f"<h2 id='skipped'>Skipped files</h2><p class='warn'>{len(skipped):,} files are no readable images.</p>"
        f"<div class='scroll'><table><tr><th>file</th><th>reason</th></tr>{rows}</table></div>"
    )
