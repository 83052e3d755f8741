"""Plurals and units as messages write them."""

from __future__ import annotations

import numpy as np

from fer_train.audit.findings import Finding, figure_text, in_words
from fer_train.wording import counted, megabytes, singular


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(n, "image") for n in (0, 1, 1532)] == ["0 images", "1 image", "1,532 images"]
    assert counted(1, "fresh process", "fresh processes") == "1 fresh process"
    assert counted(2, "fresh process", "fresh processes") == "2 fresh processes"
    assert singular("groups with different labels") == "group with different labels"
    assert singular("extra duplicates") == "extra duplicate"
    assert singular("ratio") == "ratio"


def test_findings_agree_too() -> None:
    one = Finding("k", "t", "m", {"extra_copies": 1, "groups": 1, "share": 0.5}, [np.array([0, 1])])
    assert figure_text(one) == "1 extra duplicate, 1 group, 50.0%"
    two = Finding("k", "t", "m", {"extra_copies": 2, "images": 3})
    assert figure_text(two) == "2 extra duplicates, 3 images"
    assert in_words("images_with_near_copies") == "images with near-duplicates"


def test_files_are_in_millions_of_bytes() -> None:
    assert megabytes(2_720_472) == "2.72 MB"
