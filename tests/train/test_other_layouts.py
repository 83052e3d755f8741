"""Data sets as people have them: numbered folders, AffectNet's arrays, FER+ folders, a CSV saved by another program."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.data_sets import encode, random_image, write_folder, write_zip

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
from fer_train.commands.data import main
from fer_train.data.dataset import load_dataset
from fer_train.importing.class_names import NUMBERINGS, better_numbering
from fer_train.importing.importer import import_dataset

AFFECTNET = {
    "neutral": 75,
    "happy": 134,
    "sad": 25,
    "surprise": 14,
    "fear": 7,
    "disgust": 4,
    "angry": 25,
    "contempt": 4,
}


def numbered(order: tuple[str, ...], counts: dict[str, int]) -> dict[str, bytes]:
    picture = [encode(random_image(i, 8)) for i in range(300)]
    return {
        f"set/train/{number}/{name}_{i}.png": picture[i]
        for number, name in enumerate(order)
        for i in range(counts[name])
    }


HEADER = "name,box,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


@pytest.mark.parametrize(
    ("truth", "taken", "proposed"),
    [
        ("affectnet", None, None),
        ("affectnet-by-name", None, "affectnet-by-name"),
        ("affectnet-by-name", "affectnet-by-name", None),
        ("affectnet", "affectnet-by-name", "affectnet"),
    ],
)
def test_the_numbering_is_printed_stored_and_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: str, taken: str | None, proposed: str | None
) -> None:
    source = write_zip(tmp_path / "a.zip", numbered(NUMBERINGS[truth][:8], AFFECTNET))
    options = ["--numbering", taken] if taken else []
    assert main(["import", str(source), "--to", str(tmp_path / "out"), *options]) == 0
    said = capsys.readouterr().err
    assert f"read as {taken or 'affectnet'}: 0 " in said
    assert ("fit the numbering" in said) == (proposed is not None)
    assert proposed is None or f"import again with --numbering {proposed}" in said
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["numbering"] == (taken or "affectnet") and manifest["notes"]
    if truth == (taken or "affectnet"):
        assert manifest["counts"]["train"] == {name: AFFECTNET[name] for name in EMOTIONS}
    assert main(["import", str(source), "--to", str(tmp_path / "out"), *options]) == 0
    assert f"read as {taken or 'affectnet'}" in capsys.readouterr().err


def test_even_and_small_sets_are_not_doubted() -> None:
    assert better_numbering(dict.fromkeys(range(8), 500), "affectnet") is None
    assert better_numbering({0: 2, 1: 9, 2: 1}, "affectnet") is None
    rafdb = dict(zip(range(1, 8), (129, 28, 72, 477, 198, 70, 252), strict=True))
    assert better_numbering(rafdb, "rafdb") is None
    fer2013 = dict(zip(range(7), (399, 43, 409, 721, 483, 317, 496), strict=True))
    assert better_numbering(fer2013, "alphabetical") is None or better_numbering(fer2013, "alphabetical") == "fer2013"


def test_numbers_are_not_guessed_when_read_directly(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", numbered(NUMBERINGS["affectnet"][:8], dict.fromkeys(AFFECTNET, 2)))
    with pytest.raises(DataError, match=r"is a number, .*fer-data import SRC --to DIR --numbering"):
        load_dataset(folder, cache_dir=tmp_path / "cache")


def npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value), allow_pickle=False)
    return buffer.getvalue()


def affectnet_2021(kind: Callable[[int], Any]) -> dict[str, bytes]:
    files = {}
    for part in ("train_set", "val_set"):
        for i in range(24):
            files[f"AffectNet/{part}/images/{i}.jpg"] = encode(random_image(i, 16), ".jpg")
            files[f"AffectNet/{part}/annotations/{i}_exp.npy"] = npy(kind(i % 8))
            files[f"AffectNet/{part}/annotations/{i}_lnd.npy"] = npy(np.zeros(136))
    return files


@pytest.mark.parametrize("kind", [str, int, float, lambda number: np.bytes_(str(number))])
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_affectnet_of_2021(tmp_path: Path, kind: Callable[[int], Any], form: str) -> None:
    files = affectnet_2021(kind)
    source = write_zip(tmp_path / "a.zip", files) if form == "zip" else write_folder(tmp_path / "a", files)
    report = import_dataset(source, tmp_path / "out")
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 3) for split in ("train", "validation")}
    assert report.dropped == {"contempt": 6} and report.numbering == "affectnet" and not report.skipped
    assert (tmp_path / "out/train/happy/1.jpg").read_bytes() == files["AffectNet/train_set/images/1.jpg"]
    with pytest.raises(UsageError, match="does not fit AffectNet"):
        import_dataset(source, tmp_path / "other", numbering="fer2013")


def test_affectnet_in_other_letter_case_and_without_one_label(tmp_path: Path) -> None:
    files = {name.replace("images", "Images").replace("annot", "Annot"): c for name, c in affectnet_2021(int).items()}
    report = import_dataset(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert report.counts["train"] == dict.fromkeys(EMOTIONS, 3)
    files = {name.replace("Images", "pictures"): content for name, content in files.items()}
    with pytest.raises(DataError, match=r"holds no image with a label; 48 were skipped, the first: .*no label beside"):
        import_dataset(write_zip(tmp_path / "b.zip", files), tmp_path / "other")


def test_tables_are_found_whatever_they_are_packed_in(tmp_path: Path) -> None:
    content = table("as published")
    packed, wide = gzip.compress(content), gzip.compress(table("utf-16"))
    sources: dict[str, bytes | dict[str, bytes]] = {
        "fer2013.csv.gz": packed,
        "wide.csv.gz": wide,
        "saved as text.txt": table("utf-16"),
        "other name.zip": {"data/fer_clean.csv": content, "data/sample_submission.csv": b"id,emotion\n1,0\n"},
        "gz in zip.zip": {"fer2013.csv.gz": packed, "README": b"x"},
    }
    sums = set()
    for name, source in sources.items():
        path = tmp_path / name
        write_zip(path, source) if isinstance(source, dict) else path.write_bytes(source)
        import_dataset(path, tmp_path / f"from {name}")
        sums.add((tmp_path / f"from {name}/SHA256SUMS").read_bytes())
    assert len(sums) == 1
    path.unlink()
    for files, expected in (
        ({"a.csv": content, "b.csv": content}, r"holds 2 tables of images \(a.csv, b.csv\)"),
        ({"train_set.tar": b"x", "val_set.tar": b"x"}, r"unpack what lies in it first: train_set.tar, val_set.tar"),
    ):
        with pytest.raises(DataError, match=expected):
            import_dataset(write_zip(tmp_path / "several.zip", files), tmp_path / "several")


def test_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Harmless:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Harmless()], dtype=object), allow_pickle=True)
    for content in (buffer.getvalue(), b"no array", npy(42), npy([1, 2])):
        files = affectnet_2021(int) | {"AffectNet/train_set/annotations/3_exp.npy": content}
        with pytest.raises(DataError, match=r"3_exp.npy (is not an array of one number|holds )") as caught:
            import_dataset(write_zip(tmp_path / "a.zip", files), tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("header", ["", HEADER])
def test_ferplus_folders(tmp_path: Path, header: str) -> None:
    order = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
    files = {}
    for part in ("Train", "Valid", "Test"):
        lines = []
        for i in range(16):
            votes = ["0"] * 10
            votes[i % 8], votes[(i + 1) % 8] = "7", "3"
            lines.append(f'fer{i:07d}.png,"(0, 0, 48, 48)",{",".join(votes)}')
            files[f"FER2013{part}/fer{i:07d}.png"] = encode(random_image(i))
        files[f"FER2013{part}/fer0000099.png"] = encode(random_image(99))
        lines.append('fer0000099.png,"(0, 0, 48, 48)",5,5,0,0,0,0,0,0,0,0')
        files[f"FER2013{part}/label.csv"] = (header + "\n".join(lines) + "\n").encode()
    report = import_dataset(write_zip(tmp_path / "f.zip", files), tmp_path / "out")
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 2) for split in ("train", "validation", "test")}
    assert report.dropped == {"contempt": 6}
    assert {reason for _, reason in report.skipped} == {"no class has most votes"} and len(report.skipped) == 3
    assert (tmp_path / f"out/validation/{order[3]}/fer0000003.png").is_file()


FOLDERS = {"Train": "Training", "Valid": "PublicTest", "Test": "PrivateTest"}


def ferplus(with_label_csv: tuple[str, ...] = ()) -> dict[str, bytes]:
    """FER+ with ``fer2013new.csv`` beside the folders; ``label.csv`` in some. Image 99 is a tie, 98 in no table."""
    files, table, number = {}, ["Usage,Image name," + HEADER.partition("box,")[2].strip()], 0
    for part, usage in FOLDERS.items():
        lines = []
        for i in (*range(16), 99, 98):
            name = f"fer{number:07d}.png"
            votes = ["5", "5", *["0"] * 8] if i == 99 else ["7" if k == i % 8 else "0" for k in range(10)]
            files[f"data/FER2013{part}/{name}"] = encode(random_image(number))
            if i != 98:
                lines.append(f'{name},"(0, 0, 48, 48)",{",".join(votes)}')
                table.append(f"{usage},{name},{','.join(votes)}")
            number += 1
        table.append(f"{usage},,0,0,0,0,0,0,0,0,0,10")  # an image that Microsoft left out
        if part in with_label_csv:
            files[f"data/FER2013{part}/label.csv"] = "\n".join(lines).encode()
    return files | {"data/fer2013new.csv": "\n".join(table).encode()}


@pytest.mark.parametrize("form", ["zip", "folder", "above", "utf-16", "semicolons"])
def test_ferplus_with_its_votes_beside_the_folders(tmp_path: Path, form: str) -> None:
    files = ferplus()
    content = files.pop("data/fer2013new.csv")
    content = {"utf-16": content.decode().encode("utf-16"), "semicolons": content.replace(b",", b";")}.get(
        form, content
    )
    files["fer2013new.csv" if form == "above" else "data/FER2013new.csv"] = content
    source = write_zip(tmp_path / "f.zip", files) if form == "zip" else write_folder(tmp_path / "f", files)
    report = import_dataset(source, tmp_path / "out")
    assert report.notes == ("read as FER+ with fer2013new.csv, the class with most votes",)
    with_label_csv = ferplus(tuple(FOLDERS))
    expected = import_dataset(write_zip(tmp_path / "g.zip", with_label_csv), tmp_path / "expected")
    assert expected.notes == ("read as FER+ with label.csv, the class with most votes",)
    assert (report.counts, report.dropped, report.skipped) == (expected.counts, expected.dropped, expected.skipped)
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 2) for split in ("train", "validation", "test")}
    assert report.dropped == {"contempt": 6} and len(report.skipped) == 6
    assert (tmp_path / "out/SHA256SUMS").read_bytes() == (tmp_path / "expected/SHA256SUMS").read_bytes()


def test_ferplus_where_one_folder_lacks_its_table(tmp_path: Path) -> None:
    report = import_dataset(write_zip(tmp_path / "f.zip", ferplus(("Train", "Test"))), tmp_path / "out")
    assert report.notes == ("read as FER+ with label.csv and fer2013new.csv, the class with most votes",)
    assert report.counts["validation"] == report.counts["train"] == dict.fromkeys(EMOTIONS, 2)


def test_ferplus_names_may_repeat_in_each_folder(tmp_path: Path) -> None:
    names = {f"FER2013{part}/{i}.png": encode(random_image(i)) for part in FOLDERS for i in range(7)}
    rows = [
        f"{usage},{i}.png,{','.join('9' if k == (i + shift) % 7 else '0' for k in range(10))}"
        for shift, usage in enumerate(FOLDERS.values())
        for i in range(7)
    ]
    header = "Usage,Image name," + HEADER.partition("box,")[2]
    files = names | {"fer2013new.csv": (header + "\n".join(rows)).encode()}
    import_dataset(write_zip(tmp_path / "f.zip", files), tmp_path / "out")
    assert (tmp_path / "out/train/neutral/0.png").is_file() and (tmp_path / "out/test/surprise/0.png").is_file()


def test_ferplus_without_any_table_is_one_line(tmp_path: Path) -> None:
    files = ferplus()
    content = files.pop("data/fer2013new.csv")
    folders = "data/FER2013Test, data/FER2013Train, data/FER2013Valid"
    expected = rf"label\.csv is missing in {folders}, or fer2013new\.csv beside them"
    with pytest.raises(DataError, match=expected) as caught:
        import_dataset(write_folder(tmp_path / "f", files), tmp_path / "out")
    assert "\n" not in str(caught.value)
    for table, message in (
        (content.replace(b"anger", b"rage"), r"fer2013new.csv is not a FER\+ vote table: missing column anger"),
        (content.replace(b",7,", b",many,"), r"fer2013new.csv, row \d+: a vote is not a number"),
        (b"\x89PNG\xff", r"fer2013new.csv is not a FER\+ table"),
    ):
        with pytest.raises(DataError, match=message):
            import_dataset(write_zip(tmp_path / "g.zip", files | {"data/fer2013new.csv": table}), tmp_path / "out")


def test_class_folders_in_the_folders_of_ferplus_keep_their_splits(tmp_path: Path) -> None:
    files = {f"FER2013{part}/{name}/{i}.png": encode(random_image(7 * i + k))
             for i, part in enumerate(FOLDERS) for k, name in enumerate(EMOTIONS)}  # fmt: skip
    report = import_dataset(write_folder(tmp_path / "f", files), tmp_path / "out")
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 1) for split in ("train", "validation", "test")}


def table(style: str) -> bytes:
    """Two images of each class in each split, as some program writes them."""
    numbers = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    rows: list[tuple[str, ...]] = []
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for i, name in enumerate(numbers * 2):
            pixels = " ".join(str(v) for v in random_image(i + 20 * len(rows), 12).ravel())
            rows.append((str(i % 7), name, usage, pixels))
    header, line, mark = {
        "as published": ("emotion,pixels,Usage", "{0},{3},{2}", b""),
        "icml": ("emotion, Usage, pixels", "{0},{2},{3}", b""),
        "floats": ("emotion,pixels,Usage", "{0}.0,{3},{2}", b""),
        "names": ("emotion,pixels,Usage", "{1},{3},{2}", b""),
        "lower case": ("Emotion,Pixels,usage", '{0},"{3}",{2}', b""),
        "semicolons": ("emotion;pixels;Usage", "{0};{3};{2}", b""),
        "tabs": ("emotion\tpixels\tUsage", "{0}\t{3}\t{2}", b""),
        "byte order mark": ('"emotion","pixels","Usage"', '"{0}","{3}","{2}"', b"\xef\xbb\xbf"),
        "index": (",emotion,pixels,Usage", "17,{0},{3},{2}", b""),
        "list": ("emotion,pixels,Usage", '{0},"[{4}]",{2}', b""),
        "no usage": ("emotion,pixels", "{0},{3}", b""),
        "pipes": ("emotion|pixels|Usage", "{0}|{3}|{2}", b""),
        "pixels as floats": ("emotion,pixels,Usage", "{0},{5},{2}", b""),
        "sep line": ("sep=;\nemotion;pixels;Usage", "{0};{3};{2}", b""),
        "carriage returns": ("emotion,pixels,Usage", "{0},{3},{2}", b""),
        "commas": ("emotion,pixels,Usage", '{0},"{4}",{2}', b""),
        "blank lines first": ("\n\nemotion,pixels,Usage", "{0},{3},{2}", b""),
        "utf-16": ("emotion\tpixels\tUsage", "{0}\t{3}\t{2}", b""),
        "utf-16-le": ("emotion,pixels,Usage", "{0},{3},{2}", b""),
        "utf-16-be": ("emotion;pixels;Usage", "{0};{3};{2}", b""),
    }[style]
    lines = [line.format(*row, ", ".join(row[3].split()), row[3].replace(" ", ".0 ") + ".0") for row in rows]
    end = {"semicolons": "\r\n", "utf-16": "\r\n", "carriage returns": "\r"}.get(style, "\n")
    return mark + end.join([header, *lines, ""]).encode(style if style.startswith("utf") else "utf-8")


STYLES = (
    "icml", "floats", "names", "lower case", "semicolons", "tabs", "byte order mark", "index", "list",
    "pipes", "pixels as floats", "sep line", "carriage returns", "commas",
    "blank lines first", "utf-16", "utf-16-le", "utf-16-be",
)  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_a_csv_that_was_saved_again_is_the_same_data_set(tmp_path: Path, style: str) -> None:
    sets = []
    for name in ("as published", style):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(table(name))
        sets.append(load_dataset(path, cache_dir=tmp_path / "cache"))
    assert sets[1].fingerprint == sets[0].fingerprint and not sets[1].skipped
    assert list(sets[1].splits) == ["train", "validation", "test"]


def test_tables_by_another_suffix_and_unreadable_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(table("tabs"))
    (tmp_path / "b.csv").write_bytes(table("as published"))
    first, second = (load_dataset(tmp_path / name, cache_dir=tmp_path / "cache") for name in ("a.tsv", "b.csv"))
    assert first.fingerprint == second.fingerprint
    assert import_dataset(tmp_path / "a.tsv", tmp_path / "out").counts["test"] == dict.fromkeys(EMOTIONS, 2)
    (tmp_path / "unit.csv").write_bytes(table("pixels as floats").replace(b".0 ", b".5 "))
    for read in (lambda p: load_dataset(p, cache_dir=tmp_path / "cache"), lambda p: import_dataset(p, tmp_path / "o")):
        with pytest.raises(DataError, match=r"first: .*pixels are not whole numbers from 0 to 255") as caught:
            read(tmp_path / "unit.csv")
        assert "\n" not in str(caught.value)


def test_a_csv_without_usage_states_its_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(table("no usage"))
    dataset = load_dataset(path, cache_dir=tmp_path / "cache")
    assert dataset.validation_from_train and "no Usage column: every row is train" in dataset.notes[0]
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 35, "validation": 7}
    assert main(["import", str(path), "--to", str(tmp_path / "out")]) == 0
    assert "note: the CSV has no Usage column" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"Training", b"Exercise", "Usage 'Exercise' is none of"),
        (b"\n0,", b"\n9,", "emotion '9' is not 0 to 6"),
        (b"\n0,", b"\n0.5,", "emotion '0.5' is not 0 to 6"),
        (b"\n0,", b"\nbored,", "emotion 'bored' is not 0 to 6"),
    ],
)
def test_the_first_reason_is_in_the_message(tmp_path: Path, old: bytes, new: bytes, reason: str) -> None:
    content = table("as published").replace(old, new)
    path = tmp_path / "data.csv"
    path.write_bytes(content if old == b"\n0," else content.replace(b"PublicTest", b"?").replace(b"PrivateTest", b"?"))
    for read in (lambda: load_dataset(path, cache_dir=tmp_path / "c"), lambda: import_dataset(path, tmp_path / "o")):
        with pytest.raises(DataError, match=r"skipped, the first: row 0: ") as caught:
            read()
        assert reason in str(caught.value) and "\n" not in str(caught.value)
