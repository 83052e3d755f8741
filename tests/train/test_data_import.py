from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.train.data_sets import (
    csv_rows,
    encode,
    random_image,
    small_files,
    write_csv,
    write_folder,
    write_zip,
)

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
from fer_train.commands.data import main
from fer_train.data.cleaning import clean_train
from fer_train.data.dataset import load_dataset
from fer_train.importing.importer import import_dataset


def files_below(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["folder", "zip", "wrapped zip", "zip in a zip"])
def test_images_arrive_byte_for_byte(tmp_path: Path, kind: str) -> None:
    files = small_files()
    if kind == "folder":
        source = write_folder(tmp_path / "src", files)
    elif kind == "zip":
        source = write_zip(tmp_path / "archive.zip", files)
    else:
        source = write_zip(tmp_path / "archive.zip", {f"fer2013/{name}": data for name, data in files.items()})
    if kind == "zip in a zip":
        source = write_zip(tmp_path / "outer.zip", {"README.md": b"x", "inner/data.zip": source.read_bytes()})
    target = tmp_path / "data/fer2013"
    report = import_dataset(source, target)
    assert report.n_images == 63
    written = files_below(target)
    sums = written.pop("SHA256SUMS").decode()
    manifest = json.loads(written.pop("manifest.json"))
    assert written == files
    assert sorted(sums.splitlines()) == sorted(
        f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in files.items()
    )
    assert manifest["counts"]["validation"] == dict.fromkeys(EMOTIONS, 3)
    assert manifest["n_images"] == 63
    assert [path.name for path in target.parent.iterdir()] == ["fer2013"]
    same = load_dataset(target, cache_dir=tmp_path / "cache").fingerprint
    plain = load_dataset(write_folder(tmp_path / "plain", files), cache_dir=tmp_path / "cache").fingerprint
    assert same == plain


@pytest.mark.parametrize("wrapped", [False, True])
def test_csv_becomes_png_files_with_the_same_pixels(tmp_path: Path, wrapped: bool) -> None:
    source = write_csv(tmp_path / "fer2013.csv", csv_rows())
    direct = load_dataset(source, cache_dir=tmp_path / "cache")
    if wrapped:
        source = write_zip(tmp_path / "fer2013.zip", {"fer2013/fer2013.csv": source.read_bytes()})
    import_dataset(source, tmp_path / "out")
    imported = load_dataset(tmp_path / "out", cache_dir=tmp_path / "cache")
    for name, split in direct.splits.items():
        got = imported.split(name)
        pixels = {Path(n).stem: image.tobytes() for n, image in zip(got.names, got.images, strict=True)}
        assert pixels == {n: image.tobytes() for n, image in zip(split.names, split.images, strict=True)}
    assert imported.split("train").counts == direct.split("train").counts
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def renamed(mapping: dict[str, str], per_class: int = 3) -> dict[str, bytes]:
    files = {}
    for name, content in small_files(per_class, splits=("train", "validation")).items():
        split, emotion, file = name.split("/")
        files[f"{'val' if split == 'validation' else split}/{mapping[emotion]}/{file}"] = content
    return files


SPELLINGS = {
    "words": "Anger DISGUST fearful Happiness Neutral sadness surprised",
    "numbered words": "6_anger 5-disgust 4.fear 1_happy 0_neutral 2_sad 3_surprise",
    "RAF-DB": "6 3 2 4 7 5 1",
    "AffectNet": "6 5 4 1 0 2 3",
    "AffectNet class": "class006 class005 class004 class001 class000 class002 class003",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_other_spellings_are_mapped(tmp_path: Path, spelling: str) -> None:
    mapping = dict(zip(EMOTIONS, SPELLINGS[spelling].split(), strict=True))
    files = {f"DATASET/{name}": data for name, data in renamed(mapping).items()}
    contempt = {"AffectNet": "7", "AffectNet class": "class007", "words": "Contempt"}.get(spelling)
    if contempt:
        files |= {f"DATASET/train/{contempt}/{i}.png": encode(random_image(9000 + i)) for i in range(4)}
    report = import_dataset(write_zip(tmp_path / "d.zip", files), tmp_path / "out")
    assert report.dropped == ({"contempt": 4} if contempt else {})
    expected = small_files(splits=("train", "validation"))
    got = files_below(tmp_path / "out")
    assert {name: got[name] for name in expected} == expected
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 3) for split in ("train", "validation")}


def test_numbers_that_could_mean_anything_need_an_answer(tmp_path: Path) -> None:
    numbers = dict(zip(EMOTIONS, "0123645", strict=True))
    source = write_folder(tmp_path / "src", renamed(numbers))
    with pytest.raises(DataError, match="--numbering rafdb"):
        import_dataset(source, tmp_path / "out")
    import_dataset(source, tmp_path / "out", numbering="fer2013")
    assert (tmp_path / "out/train/neutral/Training_0.png").read_bytes() == (
        source / "train/6/Training_0.png"
    ).read_bytes()
    with pytest.raises(UsageError, match="unknown numbering"):
        import_dataset(source, tmp_path / "other", numbering="mine")


def test_class_folders_without_splits_are_train(tmp_path: Path) -> None:
    files = {name.removeprefix("train/"): data for name, data in small_files(per_class=10, splits=("train",)).items()}
    import_dataset(write_folder(tmp_path / "src", files), tmp_path / "out")
    dataset = load_dataset(tmp_path / "out", cache_dir=tmp_path / "cache")
    assert dataset.validation_from_train
    assert len(dataset.split("train")) == 63


def test_broken_images_are_counted_listed_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {"train/sad/bad.png": b"no image", "train/sad/empty.jpg": b"", "train/sad/notes.txt": b"hello"}
    source = write_folder(tmp_path / "src", small_files() | broken)
    assert main(["import", str(source), "--to", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "63 images" in printed.out
    assert "warning: skipped 3 files" in printed.err
    assert all(name in printed.err for name in broken)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {name for name, _ in manifest["skipped"]} == set(broken)
    assert not set(files_below(tmp_path / "out")) & set(broken)


def dirty_files() -> tuple[dict[str, bytes], dict[str, int]]:
    """A set with known dirt, and what cleaning must remove."""
    files = small_files(per_class=5)
    copy = files["train/happy/Training_0.png"]
    files |= {f"train/happy/copy{i}.png": copy for i in range(3)}  # 3 extra copies
    files["train/sad/conflict.png"] = files["train/fear/Training_1.png"]  # 2 conflicting
    files["train/angry/leak1.png"] = files["test/angry/PublicTest_0.png"]
    files["train/angry/leak2.png"] = files["test/angry/PublicTest_0.png"]
    files["train/fear/leak3.png"] = files["test/sad/PrivateTest_0.png"]  # another label there
    return files, {"n_train": 42, "n_kept": 34, "in_evaluation": 3, "conflicting": 2, "extra_copies": 3}


def test_clean_removes_the_same_images_from_a_folder_and_from_a_loaded_set(tmp_path: Path) -> None:
    files, expected = dirty_files()
    source = write_zip(tmp_path / "d.zip", files)
    dataset = load_dataset(source, cache_dir=tmp_path / "cache")
    kept, report = clean_train(dataset)
    assert {key: value for key, value in report.as_dict().items() if key in expected} == expected
    assert report.n_removed == 8
    assert kept.dtype == np.int64
    assert np.all(np.diff(kept) > 0)
    names = {dataset.split("train").names[i] for i in kept}
    imported = import_dataset(source, tmp_path / "out", clean=True)
    assert imported.cleaned == report
    assert {name for name in files_below(tmp_path / "out") if name.startswith("train/")} == names
    gone = set(files) - set(files_below(tmp_path / "out"))
    assert gone == {
        "train/happy/copy0.png",
        "train/happy/copy1.png",
        "train/happy/copy2.png",
        "train/angry/leak1.png",
        "train/angry/leak2.png",
        "train/fear/leak3.png",
        "train/sad/conflict.png",
        "train/fear/Training_1.png",
    }
    again = load_dataset(tmp_path / "out", cache_dir=tmp_path / "cache")
    assert clean_train(again)[1].n_removed == 0
    for split in ("validation", "test"):
        assert again.split(split).names == dataset.split(split).names


def vote_table(path: Path, rows: Mapping[str, tuple[int, ...]], microsoft: bool = False) -> Path:
    columns = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Usage", "Image name", *columns] if microsoft else ["image", *columns])
        for name, votes in rows.items():
            writer.writerow(["Training", name, *votes] if microsoft else [name, *votes])
    return path


def test_votes_are_joined_by_name(tmp_path: Path) -> None:
    rows = {"Training_0.png": (8, 0, 0, 2, 0, 0, 0, 0, 0, 0)}
    votes = vote_table(tmp_path / "v.csv", rows)
    files = small_files(per_class=3)
    files["train/sad/other.png"] = encode(random_image(77))
    report = import_dataset(write_folder(tmp_path / "src", files), tmp_path / "out", votes=votes)
    assert report.votes == 7  # one of that name in each class
    written = (tmp_path / "out/ferplus_votes.csv").read_text().splitlines()
    assert written[0] == "image,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    assert written[1] == "Training_0.png,8,0,0,2,0,0,0,0,0,0"


def smooth_image(seed: int) -> Any:
    """A random image that survives JPEG, as photographs do."""
    small = np.random.default_rng(seed).integers(20, 236, (6, 6), dtype=np.uint8)
    return cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC)


def test_votes_are_joined_by_pixel_content(tmp_path: Path) -> None:
    rows = [(emotion, usage, smooth_image(i)) for i, (emotion, usage, _) in enumerate(csv_rows())]
    pixels = write_csv(tmp_path / "fer2013.csv", rows)
    numbers = {f"fer{i:07d}.png": (i % 10, 10 - i % 10, 0, 0, 0, 0, 0, 0, 0, 0) for i in range(len(rows))}
    votes = vote_table(tmp_path / "fer2013new.csv", numbers, microsoft=True)
    files = {}
    for i, (emotion, usage, image) in enumerate(rows):
        folder = "train" if usage == "Training" else "test"
        # Names that say nothing of the row, recompressed: only the pixels can tell.
        files[f"{folder}/{emotion}/{usage}_{(i * 37) % 1000}.jpg"] = encode(image, ".jpg")
    files["train/sad/stranger.jpg"] = encode(smooth_image(5000), ".jpg")
    report = import_dataset(write_folder(tmp_path / "src", files), tmp_path / "out", votes=votes, vote_pixels=pixels)
    assert report.votes == len(rows)
    with (tmp_path / "out/ferplus_votes.csv").open() as handle:
        got = {row["image"]: int(row["neutral"]) for row in csv.DictReader(handle)}
    assert got == {f"{usage}_{(i * 37) % 1000}.jpg": i % 10 for i, (_, usage, _) in enumerate(rows)}


def test_a_second_import_notices_that_it_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_zip(tmp_path / "d.zip", small_files())
    arguments = ["import", str(source), "--to", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = (tmp_path / "out/manifest.json").stat().st_mtime_ns
    assert main(arguments) == 0
    assert "already imported: 63 images" in capsys.readouterr().out
    assert (tmp_path / "out/manifest.json").stat().st_mtime_ns == before
    assert main([*arguments, "--clean"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments, "--clean", "--force"]) == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["cleaned"]["n_train"] == 21


def test_force_spares_folders_that_are_not_ours(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "d.zip", small_files())
    home = write_folder(tmp_path / "home", {"letters/mother.txt": b"dear"})
    with pytest.raises(DataError, match="--force replaces only"):
        import_dataset(source, home, force=True)
    assert files_below(home) == {"letters/mother.txt": b"dear"}
    for target in (tmp_path, source.parent / "d.zip"):
        with pytest.raises(DataError, match="overlap"):
            import_dataset(source, target, force=True)


KILLED = """
import os, signal, sys
from fer_train.importing.importer import import_dataset
def stop(done, total):
    if done >= 300: os.kill(os.getpid(), signal.SIGKILL)
import_dataset(sys.argv[1], sys.argv[2], on_progress=stop)
"""


def test_a_killed_import_leaves_no_half_folder_and_goes_on(tmp_path: Path) -> None:
    files = small_files(per_class=40, size=16)
    source, target = write_zip(tmp_path / "d.zip", files), tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    (partial,) = (p for p in tmp_path.iterdir() if p.name.endswith(".partial"))
    kept = {p: p.stat().st_mtime_ns for p in partial.rglob("*.png") if not p.name.startswith(".")}
    assert 300 <= len(kept) < len(files)
    damaged = next(iter(kept))
    damaged.write_bytes(b"lost in a power cut")
    del kept[damaged]
    time.sleep(0.01)
    report = import_dataset(source, target)
    assert report.n_images == len(files)
    assert {name: data for name, data in files_below(target).items() if name.endswith(".png")} == files
    assert all((target / p.relative_to(partial)).stat().st_mtime_ns == stamp for p, stamp in kept.items())
    assert not partial.exists()


def test_links_are_refused(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "src", small_files())
    (source / "train/sad/link.png").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        import_dataset(source, tmp_path / "out")


def test_zip_bombs_are_refused_and_the_limit_can_be_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = write_zip(tmp_path / "bomb.zip", small_files() | {"train/sad/zeros.bin": bytes(3 << 20)})
    arguments = ["import", str(bomb), "--to", str(tmp_path / "out"), "--max-size"]
    assert main([*arguments, "0.002"]) == 2
    assert "unpacks to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "0.1"]) == 0
    assert main([*arguments, "-1", "--force"]) == 2
    inner = write_zip(tmp_path / "outer.zip", {"data.zip": bomb.read_bytes()})
    with pytest.raises(DataError, match="unpacks to"):
        import_dataset(inner, tmp_path / "other", max_bytes=2 << 20)


def test_a_lying_zip_member_is_cut_off(tmp_path: Path) -> None:
    """The directory declares 100 bytes; the data would inflate to 50 MiB."""
    archive = write_zip(tmp_path / "d.zip", small_files() | {"train/sad/liar.png": bytes(50 << 20)})
    content = archive.read_bytes()
    size = (50 << 20).to_bytes(4, "little")
    assert content.count(size) == 2
    archive.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    report = import_dataset(archive, tmp_path / "out", max_bytes=10 << 20)
    assert [name for name, _ in report.skipped] == ["train/sad/liar.png"]


def broken_sources(root: Path) -> dict[str, Path]:
    files = small_files()
    root.mkdir()
    truncated = write_zip(root / "truncated.zip", files)
    truncated.write_bytes(truncated.read_bytes()[:-300])
    text = write_csv(root / "fer2013.csv", csv_rows())
    text.write_bytes(text.read_bytes()[:-700])
    (root / "empty.zip").touch()
    (root / "text.jpg").write_text("no data set")
    return {
        "missing": root / "nowhere",
        "empty": root / "empty.zip",
        "text": root / "text.jpg",
        "truncated zip": truncated,
        "truncated csv": text,
        "climbing": write_zip(root / "climbing.zip", files | {"../../evil.png": b"x"}),
        "missing class": write_folder(root / "m", {n: d for n, d in files.items() if "disgust" not in n}),
        "unknown folder": write_folder(root / "u", files | {"train/boredom/a.png": encode(random_image(1))}),
        "nothing": write_folder(root / "n", {"a.txt": b"x"}),
        "all broken": write_folder(root / "b", dict.fromkeys(files, b"x")),
    }


@pytest.mark.parametrize("command", ["import", "audit"])
def test_bad_sources_end_in_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out"
    for kind, source in broken_sources(tmp_path / "sources").items():
        arguments = ["import", str(source), "--to", str(out)]
        if command == "audit":
            arguments = ["audit", "--data", str(source), "--json", str(out)]
        assert main(arguments) == 2, kind
        error = capsys.readouterr().err.strip()
        assert error.startswith("fer-data: error: "), kind
        assert len(error.splitlines()) == 1, kind
        assert not out.exists(), kind
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == [], kind
    assert not (tmp_path / "evil.png").exists()


def test_a_mistyped_option_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "x", "--cleen"]) == 2
    assert "did you mean --clean?" in capsys.readouterr().err
    # --data belongs to fer-data audit: it is no suggestion here, least of all for itself.
    assert main(["import", "--data", "x"]) == 2
    error = capsys.readouterr().err
    assert "unknown argument --data" in error
    assert "did you mean --data" not in error
    assert "(see fer-data import --help)" in error


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["import"], ["import", "x", "--cleen"], ["audit"], ["synth"], ["what"]):
        assert main(arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
