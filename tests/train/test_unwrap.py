from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from tests.train.data_sets import csv_rows, encode, random_image, small_files, write_csv, write_folder, write_zip

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
from fer_train.commands.data import main
from fer_train.data.dataset import load_dataset
from fer_train.importing.importer import import_dataset


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w", extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


def files_below(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def imported(target: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_below(target).items() if "/" in name}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_a_tar_imports_byte_for_byte(tmp_path: Path, suffix: str) -> None:
    files = small_files(per_class=2)
    mode = "w:" + {"tgz": "gz"}.get(suffix, suffix.partition(".")[2])
    source = write_tar(tmp_path / f"d.{suffix}", {f"./fer2013/{name}": data for name, data in files.items()}, mode)
    assert import_dataset(source, tmp_path / "out").n_images == len(files)
    assert imported(tmp_path / "out") == files
    assert hidden(tmp_path) == []


def test_the_contest_download_a_csv_in_a_tar_in_a_zip(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "fer2013.csv", csv_rows())
    tar = write_tar(tmp_path / "fer2013.tar.gz", {"fer2013/fer2013.csv": table.read_bytes()}, "w:gz")
    source = write_zip(tmp_path / "challenge.zip", {"example.csv": b"x", "fer2013.tar.gz": tar.read_bytes()})
    assert import_dataset(source, tmp_path / "out").n_images == len(csv_rows())
    assert import_dataset(source, tmp_path / "out").already_there
    assert hidden(tmp_path) == []


def link(kind: bytes, name: str = "train/sad/link.png") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def hostile_tars(root: Path) -> dict[str, tuple[Path, str]]:
    files = small_files(per_class=1)
    root.mkdir()
    whole = write_tar(root / "whole.tar", files)
    packed = write_tar(root / "whole.tar.gz", files, "w:gz")
    truncated, broken, middle = root / "t.tar", root / "t.tar.gz", root / "m.tar.gz"
    truncated.write_bytes(whole.read_bytes()[: 512 * 41])  # breaks off where a file ends, or in one
    broken.write_bytes(packed.read_bytes()[:-3000])
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 0xFF
    middle.write_bytes(bytes(content))
    giant = tarfile.TarInfo("x")
    giant.type, giant.size = tarfile.XHDTYPE, 1 << 40  # a header that wants a terabyte of memory
    (root / "giant.tar").write_bytes(giant.tobuf() + bytes(1024))
    (root / "text.tar").write_text("no archive at all")
    (root / "noise.tgz").write_bytes(b"\x1f\x8b" + bytes(range(256)))
    return {
        "climbing": (write_tar(root / "a.tar", files | {"../../evil.png": b"x"}), "climbs out"),
        "absolute": (write_tar(root / "b.tar", files | {"/tmp/evil.png": b"x"}), "climbs out"),
        "drive": (write_tar(root / "c.tar", files | {"C:/evil.png": b"x"}), "climbs out"),
        "link": (write_tar(root / "d.tar", files, extra=(link(tarfile.SYMTYPE),)), "is a link"),
        "hard link": (write_tar(root / "e.tar", files, extra=(link(tarfile.LNKTYPE),)), "is a link"),
        "device": (write_tar(root / "f.tar", files, extra=(link(tarfile.CHRTYPE),)), "device"),
        "truncated": (truncated, "damaged"),
        "truncated gz": (broken, "damaged"),
        "bit flipped": (middle, "damaged"),
        "giant header": (root / "giant.tar", "damaged"),
        "no tar": (root / "text.tar", "not a data set"),
        "no gzip": (root / "noise.tgz", "damaged"),
        "empty": (write_tar(root / "empty.tar", {}), "not a data set"),
    }


def test_hostile_and_damaged_tars_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, (source, words) in hostile_tars(tmp_path / "sources").items():
        assert main(["import", str(source), "--to", str(tmp_path / "out")]) == 2, kind
        error = capsys.readouterr().err.strip()
        assert words in error, (kind, error)
        assert len(error.splitlines()) == 1, kind
        assert not (tmp_path / "out").exists(), kind
        assert hidden(tmp_path) == [], kind
    assert not (tmp_path.parent / "evil.png").exists()


def test_tar_bombs_are_refused_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    files = small_files(per_class=1)
    bomb = write_tar(tmp_path / "bomb.tar.gz", {"train/sad/zeros.bin": bytes(8 << 20)} | files, "w:gz")
    assert bomb.stat().st_size < 1 << 18
    with pytest.raises(DataError, match="unpacks to"):
        import_dataset(bomb, tmp_path / "out", max_bytes=4 << 20)
    wrapped = write_zip(tmp_path / "outer.zip", {"d.tar.gz": bomb.read_bytes()})
    with pytest.raises(DataError, match="unpacks to"):
        import_dataset(wrapped, tmp_path / "out", max_bytes=4 << 20)
    assert not (tmp_path / "out").exists()
    assert import_dataset(wrapped, tmp_path / "out", max_bytes=16 << 20).n_images == len(files)


def test_archives_within_archives_have_an_end(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "0.zip", small_files(per_class=1))
    for depth in range(1, 6):
        path = write_zip(tmp_path / f"{depth}.zip", {"next.zip": path.read_bytes()})
    with pytest.raises(DataError, match="deep"):
        import_dataset(path, tmp_path / "out")
    assert hidden(tmp_path) == []


RAFDB = {1: "surprise", 2: "fear", 3: "disgust", 4: "happy", 5: "sad", 6: "angry", 7: "neutral"}


def rafdb_files(per_class: int = 2) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """RAF-DB as published, and the files that an import makes of it."""
    source, expected, lines = {}, {}, []
    for split, offset in (("train", 0), ("test", 500)):
        for number in range(1, 7 * per_class + 1):
            label = (number - 1) % 7 + 1
            stem = f"{split}_{number:05d}"
            lines.append(f"{stem}.jpg {label}")
            content = encode(random_image(offset + number, 100), ".jpg")
            source[f"basic/Image/aligned/{stem}_aligned.jpg"] = content
            source[f"basic/Image/original/{stem}.jpg"] = encode(random_image(offset + number + 250, 60), ".jpg")
            expected[f"{split}/{RAFDB[label]}/{stem}_aligned.jpg"] = content
    source["basic/EmoLabel/list_patition_label.txt"] = ("\n".join(lines) + "\n").encode()
    return source, expected


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz", "aligned.zip inside"])
def test_rafdb_as_published(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    files, expected = rafdb_files()
    if kind == "folder":
        source = write_folder(tmp_path / "src", files)
    elif kind == "zip":
        source = write_zip(tmp_path / "raf.zip", files)
    elif kind == "tar.gz":
        source = write_tar(tmp_path / "raf.tar.gz", files, "w:gz")
    else:
        label_list = {name: data for name, data in files.items() if name.endswith(".txt")}
        for part in ("aligned", "original"):
            inside = {n.removeprefix("basic/Image/"): d for n, d in files.items() if f"/{part}/" in n}
            label_list[f"basic/Image/{part}.zip"] = write_zip(tmp_path / "inner.zip", inside).read_bytes()
        source = write_zip(tmp_path / "raf.zip", label_list)
    assert main(["import", str(source), "--to", str(tmp_path / "out")]) == 0
    assert "28 images" in capsys.readouterr().out
    assert imported(tmp_path / "out") == expected
    dataset = load_dataset(tmp_path / "out", cache_dir=tmp_path / "cache")
    assert len(dataset.split("test")) == 14
    for name, label in zip(dataset.split("test").names, dataset.split("test").labels, strict=True):
        number = int(re.findall(r"_(\d{5})_", PurePosixPath(name).name)[0])
        assert EMOTIONS[label] == RAFDB[(number - 1) % 7 + 1]


def test_rafdb_what_list_and_folder_do_not_share_is_listed(tmp_path: Path) -> None:
    files, expected = rafdb_files()
    gone = "basic/Image/aligned/train_00001_aligned.jpg", "basic/Image/original/train_00001.jpg"
    files = {name: data for name, data in files.items() if name not in gone}
    files["basic/Image/aligned/train_99999_aligned.jpg"] = encode(random_image(1), ".jpg")
    report = import_dataset(write_folder(tmp_path / "src", files), tmp_path / "out")
    assert report.n_images == len(expected) - 1
    assert dict(report.skipped) == {
        "train_00001": "in the list of labels, but not there",
        "basic/Image/aligned/train_99999_aligned.jpg": "not in the list of labels",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("train_00001.jpg 8\n", "line 1"),
        ("train_00001.jpg 0\n", "line 1"),
        ("train_00001.jpg 4\nval_00002.jpg 4\n", "line 2"),
        ("train_00001.jpg 4\ntrain_00001.jpg 5\n", "other label"),
        ("train_00001.jpg\n", "line 1"),
        ("", "no labels"),
        ("train_70000.jpg 4\n", "aligned.zip"),
    ],
)
def test_rafdb_bad_lists(tmp_path: Path, content: str, words: str) -> None:
    files, _ = rafdb_files(per_class=1)
    files["basic/EmoLabel/list_patition_label.txt"] = content.encode()
    with pytest.raises(DataError, match=words):
        import_dataset(write_folder(tmp_path / "src", files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rafdb_list_and_another_numbering(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "src", rafdb_files(per_class=1)[0])
    with pytest.raises(UsageError, match="--numbering"):
        import_dataset(source, tmp_path / "out", numbering="fer2013")
    import_dataset(source, tmp_path / "out", numbering="rafdb")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_rafdb_list_saved_as_unicode_text(tmp_path: Path, encoding: str) -> None:
    files, _ = rafdb_files(per_class=1)
    plain = import_dataset(write_folder(tmp_path / "plain", files), tmp_path / "out")
    name = "basic/EmoLabel/list_patition_label.txt"
    files[name] = files[name].decode().encode(encoding)
    assert import_dataset(write_folder(tmp_path / "src", files), tmp_path / "again").counts == plain.counts
