from __future__ import annotations

import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.train.data_sets import csv_rows, encode, random_image, small_files, write_csv, write_folder, write_zip

from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS
from fer_train.data.dataset import Dataset, load_dataset
from fer_train.data.decoded_cache import choose_tenth
from fer_train.data.decoding import BrokenImageError, decode_image
from fer_train.data.fer2013_csv import parse_pixels


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def contents(dataset: Dataset) -> dict[str, Any]:
    return {name: (s.images.tobytes(), s.labels.tolist(), s.names) for name, s in dataset.splits.items()}


def test_folder_and_zip_give_the_same_splits(tmp_path: Path, cache: Path) -> None:
    files = small_files()
    folder = load_dataset(write_folder(tmp_path / "f", files), cache_dir=cache)
    archive = load_dataset(write_zip(tmp_path / "f.zip", files), cache_dir=cache)
    assert contents(folder) == contents(archive)
    assert folder.fingerprint == archive.fingerprint
    assert {name: len(s) for name, s in folder.splits.items()} == {"train": 21, "validation": 21, "test": 21}
    train = folder.split("train")
    assert train.images.shape == (21, 48, 48)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    for name, label, image in zip(train.names, train.labels, train.images, strict=True):
        assert name.split("/")[1] == EMOTIONS[label]
        assert np.array_equal(image, decode_image(files[name]))
    assert all("PublicTest_" in name for name in folder.split("validation").names)
    assert all("PrivateTest_" in name for name in folder.split("test").names)


@pytest.mark.parametrize("wrapping", ["fer2013/", "archive/data/"])
def test_wrapping_folders_and_clutter_do_not_matter(tmp_path: Path, cache: Path, wrapping: str) -> None:
    files = small_files()
    wrapped = {wrapping + name: content for name, content in files.items()}
    wrapped |= {"__MACOSX/fer2013/train/angry/._x.png": b"junk", wrapping + "train/.DS_Store": b"x", "LICENSE": b"x"}
    plain = load_dataset(write_zip(tmp_path / "a.zip", files), cache_dir=cache)
    other = load_dataset(write_zip(tmp_path / "b.zip", wrapped), cache_dir=cache)
    assert contents(plain) == contents(other)
    assert other.skipped == ()


def test_images_are_memory_mapped_and_read_only(tmp_path: Path, cache: Path) -> None:
    split = load_dataset(write_folder(tmp_path / "f", small_files()), cache_dir=cache).split("train")
    assert isinstance(split.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1


def test_csv_numbers_are_mapped_and_usage_decides(tmp_path: Path, cache: Path) -> None:
    rows = csv_rows()
    dataset = load_dataset(write_csv(tmp_path / "fer2013.csv", rows), cache_dir=cache)
    for usage, split in (("Training", "train"), ("PublicTest", "validation"), ("PrivateTest", "test")):
        expected = [(emotion, image) for emotion, row_usage, image in rows if row_usage == usage]
        got = dataset.split(split)
        assert [EMOTIONS[label] for label in got.labels] == [emotion for emotion, _ in expected]
        assert np.array_equal(got.images, np.stack([image for _, image in expected]))
    assert dataset.split("train").names[3] == "Training_row00003"


def test_validation_folder_is_used(tmp_path: Path, cache: Path) -> None:
    for name in ("val", "validation"):
        files = small_files(splits=("train", name))
        dataset = load_dataset(write_folder(tmp_path / name, files), cache_dir=cache)
        assert len(dataset.split("validation")) == 21
        assert not dataset.validation_from_train


def test_validation_is_a_seeded_stratified_tenth_of_train(tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "f", small_files(per_class=20, size=16, splits=("train",)))
    zero = load_dataset(root, cache_dir=cache)
    assert zero.validation_from_train
    assert list(zero.split("validation").counts.values()) == [2] * 7
    assert list(zero.split("train").counts.values()) == [18] * 7
    assert not set(zero.split("validation").names) & set(zero.split("train").names)
    for name, image in zip(zero.split("train").names, zero.split("train").images, strict=True):
        assert np.array_equal(image, decode_image((root / name).read_bytes()))
    again = load_dataset(root, cache_dir=tmp_path / "other", seed=0)
    assert contents(zero) == contents(again)
    other = load_dataset(root, cache_dir=cache, seed=1)
    assert other.split("validation").names != zero.split("validation").names


def test_copies_of_an_image_are_not_torn_apart_by_the_tenth() -> None:
    images = np.stack([random_image(i // 4, 16) for i in range(400)])
    labels = np.arange(400) // 4 % 7
    for seed in range(5):
        chosen = choose_tenth(images, labels, seed).reshape(-1, 4)
        assert np.all(chosen == chosen[:, :1])
        assert 0.05 < chosen.mean() < 0.2


def test_second_start_decodes_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files())
    calls: list[int] = []
    load_dataset(archive, cache_dir=cache, on_progress=lambda done, total: calls.append(done))
    assert calls[-1] == 63
    monkeypatch.setattr(cv2, "imdecode", None)
    load_dataset(archive, cache_dir=cache, on_progress=lambda done, total: pytest.fail("decoded again"))
    moved = archive.rename(tmp_path / "moved.zip")  # the key is the content, not the path
    load_dataset(moved, cache_dir=cache)


def test_a_changed_source_is_read_again(tmp_path: Path, cache: Path) -> None:
    files = small_files()
    root = write_folder(tmp_path / "f", files)
    before = load_dataset(root, cache_dir=cache)
    time.sleep(0.01)
    (root / "train/sad/Training_0.png").write_bytes(encode(random_image(999)))
    after = load_dataset(root, cache_dir=cache)
    assert before.fingerprint != after.fingerprint
    archive = write_zip(tmp_path / "f.zip", files)
    first = load_dataset(archive, cache_dir=cache).fingerprint
    write_zip(archive, files | {"train/sad/Training_0.png": encode(random_image(998))})
    assert load_dataset(archive, cache_dir=cache).fingerprint != first


def test_a_damaged_cache_is_built_anew(tmp_path: Path, cache: Path) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files())
    before = contents(load_dataset(archive, cache_dir=cache))
    (images,) = cache.glob("datasets/*/train.images")
    images.write_bytes(images.read_bytes()[:-1])
    assert contents(load_dataset(archive, cache_dir=cache)) == before
    (meta,) = cache.glob("datasets/*/meta.json")
    meta.write_text("{")
    assert contents(load_dataset(archive, cache_dir=cache)) == before


def test_a_failed_decoding_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files())

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(archive, cache_dir=cache, on_progress=stop)
    assert list(cache.glob("datasets/*")) == list(cache.glob("datasets/.*")) == []
    assert len(load_dataset(archive, cache_dir=cache).split("train")) == 21


def test_cache_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_dataset(write_folder(tmp_path / "f", small_files()))
    assert list((tmp_path / "xdg/fer-edge-toolkit/datasets").iterdir())


def test_broken_images_are_listed_and_skipped(tmp_path: Path, cache: Path) -> None:
    jpeg = encode(random_image(5000), ".jpg")
    bomb = bytearray(encode(random_image(5001)))
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    broken = {
        "train/sad/empty.jpg": b"",
        "train/sad/text.jpg": b"hello, this is no picture",
        "train/sad/truncated.jpg": jpeg[: len(jpeg) // 2],
        "train/sad/truncated.png": encode(random_image(5002))[:900],
        "train/sad/bomb.png": bytes(bomb),
        "train/sad/notes.txt": b"x",
    }
    for source in (
        write_folder(tmp_path / "f", small_files() | broken),
        write_zip(tmp_path / "f.zip", small_files() | broken),
    ):
        dataset = load_dataset(source, cache_dir=cache)
        assert {name for name, _ in dataset.skipped} == set(broken)
        assert all(reason for _, reason in dataset.skipped)
        assert len(dataset.split("train")) == 21
        assert load_dataset(source, cache_dir=cache).skipped == dataset.skipped


def test_a_damaged_zip_member_is_skipped(tmp_path: Path, cache: Path) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files(), zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("train/happy/Training_1.png")
    content[info.header_offset + 200] ^= 0xFF
    archive.write_bytes(content)
    ((name, reason),) = load_dataset(archive, cache_dir=cache).skipped
    assert name == "train/happy/Training_1.png"
    assert "CRC" in reason


def test_other_sizes_are_squared_and_resized_to_the_common_one(tmp_path: Path, cache: Path) -> None:
    files = small_files(size=32)
    files["train/sad/wide.png"] = encode(np.full((40, 80), 90, dtype=np.uint8))
    files["train/sad/color.jpg"] = encode(np.full((64, 64, 3), (255, 0, 0), dtype=np.uint8), ".jpg")
    dataset = load_dataset(write_folder(tmp_path / "f", files), cache_dir=cache)
    assert dataset.side == 32
    train = dataset.split("train")
    assert np.all(train.images[train.names.index("train/sad/wide.png")] == 90)
    assert abs(int(train.images[train.names.index("train/sad/color.jpg")].mean()) - 29) <= 1  # BT.601 weight of blue


def test_missing_split_is_named(tmp_path: Path, cache: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path / "f", small_files(splits=("train",))), cache_dir=cache)
    with pytest.raises(DataError, match="no split 'test'; it has train, validation"):
        dataset.split("test")
    with pytest.raises(DataError, match="unknown split 'PublicTest'"):
        dataset.split("PublicTest")


def without_class(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith(folder)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: without_class(files, "train/disgust/"), "split train has no image of class disgust"),
        (lambda files: without_class(files, "test/fear/"), "has no image of class fear"),
        (lambda files: files | {"train/happyness/a.png": b"x"}, "train/happyness.*did you mean happy"),
        (lambda files: files | {"train/contempt/a.png": b"x"}, "train/contempt.*seven class folders"),
        (lambda files: files | {"extra/angry/a.png": b"x"}, "unknown folder extra/angry"),
        (lambda files: files | {"train/a.png": b"x"}, "outside a class folder"),
        (lambda files: {"a/b.png": b"x"}, "holds no data set"),
        (lambda files: {f"{x}/{name}": data for x in "ab" for name, data in files.items()}, "more than one data set"),
        (lambda files: dict.fromkeys(files, b"x"), "no readable image"),
    ],
)
def test_wrong_layouts_are_refused(tmp_path: Path, cache: Path, change: Any, message: str) -> None:
    files = change(small_files())
    for source in (write_folder(tmp_path / "f", files), write_zip(tmp_path / "f.zip", files)):
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(source, cache_dir=cache)
        assert "\n" not in str(caught.value)
    assert not list(cache.glob("datasets/*/"))


def test_missing_empty_and_strange_files(tmp_path: Path, cache: Path) -> None:
    empty, text = tmp_path / "empty.zip", tmp_path / "text.zip"
    empty.touch()
    text.write_text("no zip")
    (tmp_path / "text.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "image.jpg").write_bytes(encode(random_image(1), ".jpg"))
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 10)
    for source, message in (
        (tmp_path / "nowhere", "no data set at"),
        (empty, "is empty"),
        (text, "not a zip archive or is truncated"),
        (tmp_path / "text.csv", "first line lacks"),
        (tmp_path / "binary.csv", "first line lacks"),
        (tmp_path / "image.jpg", "is not a data set"),
    ):
        with pytest.raises(DataError, match=message):
            load_dataset(source, cache_dir=cache)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_zip_is_refused(tmp_path: Path, cache: Path, share: float) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files())
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="truncated"):
        load_dataset(archive, cache_dir=cache)


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "train/../../evil.png", "C:/evil.png", "..\\evil.png"]
)
def test_climbing_paths_are_refused(tmp_path: Path, cache: Path, name: str) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files() | {name: b"x"})
    with pytest.raises(DataError, match="climbs out"):
        load_dataset(archive, cache_dir=cache)


def test_links_in_a_zip_are_refused(tmp_path: Path, cache: Path) -> None:
    archive = write_zip(tmp_path / "f.zip", small_files())
    link = zipfile.ZipInfo("train/sad/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        load_dataset(archive, cache_dir=cache)


@pytest.mark.parametrize("cut", [5, 500, 5000, len(",Training") + 1])
def test_truncated_csv_is_refused(tmp_path: Path, cache: Path, cut: int) -> None:
    path = write_csv(tmp_path / "fer2013.csv", csv_rows())
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="is truncated in row 41"):
        load_dataset(path, cache_dir=cache)


def test_bad_rows_of_a_csv_are_listed(tmp_path: Path, cache: Path) -> None:
    path = write_csv(tmp_path / "fer2013.csv", csv_rows())
    lines = path.read_text().splitlines()
    pixels = lines[1].split(",")[1]
    bad = [
        f"9,{pixels},Training",
        f"x,{pixels},Training",
        f"1,{pixels} 7,Training",
        f"1,{pixels.replace(' ', ' x', 1)},Training",
        f"1,{'300 ' + pixels.split(' ', 1)[1]},Training",
        f"1,{pixels},Elsewhere",
        "1",
    ]
    path.write_text("\n".join([*lines[:20], *bad, *lines[20:]]) + "\n")
    dataset = load_dataset(path, cache_dir=cache)
    assert len(dataset.skipped) == len(bad)
    assert sum(len(split) for split in dataset.splits.values()) == 42


def test_the_csv_of_the_contest_archive_is_understood(tmp_path: Path, cache: Path) -> None:
    """``icml_face_data.csv`` has blanks in its header, another order of columns, and quotes are allowed."""
    rows = csv_rows()
    plain = load_dataset(write_csv(tmp_path / "fer2013.csv", rows), cache_dir=cache)
    lines = ["emotion, Usage, pixels"]
    for line in (tmp_path / "fer2013.csv").read_text().splitlines()[1:]:
        emotion, pixels, usage = line.split(",")
        lines.append(f'{emotion},{usage},"{pixels}"')
    (tmp_path / "icml_face_data.csv").write_text("\r\n".join(lines) + "\r\n")
    other = load_dataset(tmp_path / "icml_face_data.csv", cache_dir=cache)
    assert contents(other) == contents(plain)


def test_pixels_of_a_csv() -> None:
    assert parse_pixels(b"").tolist() == []
    assert parse_pixels(b"0 255 7").tolist() == parse_pixels(b"0,255,7").tolist() == [0, 255, 7]
    for text in (b"1 2 -3", b"1 256", b"1 2.5", b"1 99999999999999999999", b"1;2", b"-1", b"1e1"):
        with pytest.raises(BrokenImageError):
            parse_pixels(text)


def test_reading_needs_no_training_framework(tmp_path: Path) -> None:
    code = (
        "import sys, fer_train.data.dataset, fer_train.data.cleaning, fer_train.data.crowd_votes;"
        "import fer_train.synthetic.faces, fer_train.audit.checks;"
        "print([m for m in ('tensorflow', 'keras', 'torch', 'onnx', 'rich', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PAM = b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"


@pytest.mark.parametrize(
    ("header", "samples", "grey"),
    [
        (b"P5 2 1 255\n", bytes([10, 200]), [10, 200]),
        (b"P5 2 1 15\n", bytes([0, 15]), [0, 255]),
        (b"P5# by a scanner\n2 1 15\n", bytes([0, 15]), [0, 255]),
        (b"P2 2 1 15\n", b"0 15", [0, 255]),
        (b"P6 2 1 255\n", bytes([255, 0, 0, 0, 0, 255]), [76, 29]),
        (
            b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
            bytes([255, 0, 0, 0, 0, 255]),
            [76, 29],
        ),
    ],
    ids=["PGM", "PGM up to 15", "PGM with a comment", "text", "PPM", "PAM"],
)
def test_netpbm_is_as_bright_and_coloured_as_its_header_says(header: bytes, samples: bytes, grey: list[int]) -> None:
    assert decode_image(header + samples).tolist() == [grey]
    with pytest.raises(BrokenImageError):
        decode_image(header)
