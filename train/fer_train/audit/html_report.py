"""The audit as one HTML page that needs nothing else: figures, and pictures of each finding."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.files import write_text
from fer_edge.html import render
from fer_edge.labels import EMOTIONS
from fer_train.audit.crowd_agreement import VoteAudit
from fer_train.audit.findings import Audit, Finding, figure_text, in_words
from fer_train.data.crowd_votes import OTHER_COLUMNS
from fer_train.wording import counted, singular

__all__ = ["GROUPS_SHOWN", "IMAGES_SHOWN", "SKIPPED_SHOWN", "render_report", "write_report"]

GROUPS_SHOWN: Final[int] = 48
IMAGES_SHOWN: Final[int] = 6
SKIPPED_SHOWN: Final[int] = 200


def write_report(path: str | os.PathLike[str], audit: Audit) -> None:
    """Write the page to ``path``, atomically.

    Args:
        path: the file; an older one is replaced.
        audit: what to show.
    """
    write_text(path, render_report(audit))


def render_report(audit: Audit) -> str:
    """The page as text; pictures are inside it.

    Args:
        audit: the audit.

    Returns:
        The HTML.
    """
    side, counts = audit.dataset.side, audit.splits[0].counts
    most = max(1, *counts.values())
    skipped = audit.dataset.skipped
    text = render(
        __package__ or "",
        "html_report.html",
        title=f"Audit of {audit.dataset.source.name}",
        about=f"{counted(audit.n_images, 'image')} of {side}x{side} pixels, content {audit.dataset.fingerprint[:16]}, "
        f"audited by fer-data in {audit.seconds:.0f} s",
        cards=[_card(finding) for finding in audit.findings],
        split_head=("split", *EMOTIONS, "all"),
        split_rows=[
            (split.name, *(f"{count:,}" for count in (*split.counts.values(), len(split)))) for split in audit.splits
        ],
        balance=audit.finding("class_balance").meaning,
        class_bars=[(name, count / most, f"{count:,}") for name, count in counts.items()],
        sizes=_sizes(audit),
        cleaning="" if audit.clean is None else str(audit.clean),
        votes=None if audit.votes is None else _votes(audit.votes),
        findings=[_finding(audit, finding) for finding in audit.findings if finding.key != "class_balance"],
        skipped=skipped[:SKIPPED_SHOWN],
        skipped_text=f"{counted(len(skipped), 'unreadable file')}, left out.",
    )
    return str(text)


def _card(finding: Finding) -> dict[str, str]:
    name, value = next(iter(finding.figures.items()))
    if finding.key == "class_balance":
        name, value = "ratio", finding.figures["ratio"]
    what = in_words(name)
    figure = f"{value:.1f} : 1" if name == "ratio" else f"{value:,.0f}"
    return {
        "key": finding.key,
        "title": finding.title,
        "figure": figure,
        "unit": singular(what) if value == 1 else what,
    }


def _sizes(audit: Audit) -> str:
    sizes = sorted(audit.dataset.sizes.items(), key=lambda item: -item[1])
    more = f" and {len(sizes) - 8} more sizes" if len(sizes) > 8 else ""
    return ", ".join(f"{size}: {count:,}" for size, count in sizes[:8]) + more


def _votes(votes: VoteAudit) -> dict[str, Any]:
    answers = (*EMOTIONS, *OTHER_COLUMNS)
    rows = []
    for name, row in zip(EMOTIONS, votes.confusion, strict=True):
        total = max(1, int(row.sum()))
        cells = [
            (f"{int(count):,}", int(count) / total, "", answer == name)
            for answer, count in zip(answers, row, strict=True)
        ]
        rows.append((name, cells, f"{votes.agreement_per_class[name]:.0%}"))
    text = (
        f"On {counted(votes.n_compared, 'image')} whose most frequent answer is one of the seven, label and crowd "
        f"agree on {votes.agreement:.1%}; on all {votes.n_with_votes:,} with votes, {votes.agreement_of_voted:.1%}. "
        f"{counted(votes.not_a_face, 'image')} the crowd called not a face, or FER+ dropped."
    )
    return {"text": text, "head": ("label", *answers, "agree"), "rows": rows}


def _finding(audit: Audit, finding: Finding) -> dict[str, Any]:
    shown = finding.groups[:GROUPS_SHOWN]
    notes = finding.notes or ("",) * len(finding.groups)
    return {
        "key": finding.key,
        "title": finding.title,
        "meaning": finding.meaning,
        "figures": figure_text(finding),
        "found": bool(next(iter(finding.figures.values()))),
        "groups": [_group(audit, group, note) for group, note in zip(shown, notes, strict=False)],
        "hidden": len(finding.groups) - len(shown),
    }


def _group(audit: Audit, group: Iterable[np.int64], note: str) -> dict[str, Any]:
    members = [int(i) for i in group]
    images = []
    for i in members[:IMAGES_SHOWN]:
        split, at = audit.locate(i)
        facts = audit.describe(i)
        name = facts["name"].rpartition("/")[2]
        images.append(
            {"url": _data_url(split.images[at]), "label": facts["label"], "split": facts["split"], "name": name}
        )
    if len(members) > IMAGES_SHOWN:
        note = f"{note} {counted(len(members), 'image')}".strip()
    return {"images": images, "note": note}


def _data_url(image: npt.NDArray[np.uint8]) -> str:
    content = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
