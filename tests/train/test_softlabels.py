from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS
from fer_train.data.crowd_votes import load_vote_counts, load_votes

HEADER = "image,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def table(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_votes_become_probabilities_in_our_order(tmp_path: Path) -> None:
    votes = table(tmp_path / "v.csv", "a.jpg,1,2,3,0,0,0,0,2,1,1", "b.jpg,0,0,0,1,2,3,4,0,0,0")
    soft, mask = load_votes(votes, ["train/happy/a.jpg", "test/sad/b.png", "train/sad/c.jpg"])
    assert soft.dtype == np.float32
    assert mask.tolist() == [True, True, False]
    by_name = [dict(zip(EMOTIONS, row.tolist(), strict=True)) for row in soft]
    assert by_name[0] == pytest.approx(
        {"neutral": 1 / 6, "happy": 2 / 6, "surprise": 3 / 6, "sad": 0, "angry": 0, "disgust": 0, "fear": 0}
    )
    assert by_name[1] == pytest.approx(
        {"neutral": 0, "happy": 0, "surprise": 0, "sad": 0.1, "angry": 0.2, "disgust": 0.3, "fear": 0.4}
    )
    assert not soft[2].any()


def test_images_that_are_mostly_something_else_have_no_soft_label(tmp_path: Path) -> None:
    votes = table(
        tmp_path / "v.csv", "a.jpg,4,0,0,0,0,0,0,3,2,1", "b.jpg,5,0,0,0,0,0,0,3,2,0", "c.jpg,0,0,0,0,0,0,0,0,0,10"
    )
    assert load_votes(votes, ["a.jpg", "b.jpg", "c.jpg"])[1].tolist() == [False, True, False]
    assert load_votes(votes, ["a.jpg", "b.jpg", "c.jpg"], min_share=0.0)[1].tolist() == [True, True, False]


def test_microsofts_table_joins_by_row(tmp_path: Path) -> None:
    votes = table(
        tmp_path / "fer2013new.csv",
        "Training,fer0000000.png,9,1,0,0,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",  # dropped as not a face, but its place counts
        "PublicTest,fer0000002.png,0,10,0,0,0,0,0,0,0,0",
        header="Usage,Image name" + HEADER.removeprefix("image"),
    )
    counts = load_vote_counts(votes, ["PublicTest_row00002", "train/sad/Training_row00000.png", "Training_row00001"])
    assert counts.known.all()
    happy, neutral = EMOTIONS.index("happy"), EMOTIONS.index("neutral")
    assert counts.emotions[0, happy] == 10
    assert counts.emotions[1, neutral] == 9
    assert counts.others[2].tolist() == [0, 0, 10]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "missing column"),
        ("image,neutral\na.jpg,1\n", "missing column anger"),
        (HEADER + "\n", "holds no votes"),
        (HEADER + "\na.jpg,1,2\n", "truncated in row 1"),
        (HEADER + "\na.jpg,x,0,0,0,0,0,0,0,0,0\n", "not a number"),
        (HEADER + "\nz.jpg,1,0,0,0,0,0,0,0,0,0\n", "votes for none of the 1 images"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_votes(path, ["train/sad/a.jpg"])
    with pytest.raises(DataError, match="no file"):
        load_votes(tmp_path / "nowhere.csv", ["a.jpg"])
    path.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="not a FER\\+ vote table"):
        load_votes(path, ["a.jpg"])


@pytest.mark.skipif("FER_ASSETS" not in os.environ, reason="FER_ASSETS (folder of shared test data) is not set")
def test_real_votes(tmp_path: Path) -> None:
    path = Path(os.environ["FER_ASSETS"]) / "data/ferplus_votes.csv"
    soft, mask = load_votes(path, ["train/angry/Training_10118481.jpg", "test/angry/PublicTest_10116449.jpg"])
    assert mask.all()
    assert soft[1, EMOTIONS.index("neutral")] == pytest.approx(0.8)
