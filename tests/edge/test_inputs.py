"""Folders, several sources, and what is written for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.app.cli import main
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.inputs import plan
from fer_edge.errors import SourceError, UsageError
from fer_edge.files import unused_path

FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]


def count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.fixture
def mixed(tmp_path: Path, scene: npt.NDArray[np.uint8], video: Path, make_video: Callable[..., Path]) -> Path:
    """Two images, one without a suffix, two videos, a broken one, and what is none of these."""
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), scene)
    cv2.imwrite(str(tmp_path / "x.png"), scene)
    (tmp_path / "x.png").rename(folder / "b")
    make_video(folder / "c.avi", 3)
    make_video(folder / "d.avi", 4)
    (folder / "broken.mp4").write_text("this is text")
    (folder / "notes.txt").write_text("this is text")
    (folder / ".DS_Store").write_text("x")
    return folder


def test_a_mixed_folder(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, saved = tmp_path / "t.jsonl", tmp_path / "out"
    assert main([str(mixed), *FAKE, "--jsonl", str(lines), "--save", str(saved)]) == 0
    out, err = capsys.readouterr()
    assert f"left out of {mixed}, neither image nor video: deeper (a folder), notes.txt (text)" in err
    assert f"skipped: {mixed / 'broken.mp4'} cannot be read as a video" in err
    assert "9 frames, 9 faces" in err
    assert ".DS_Store" not in err
    assert out.splitlines()[0].startswith(f"{mixed / 'a.png'}: face 1: happy")
    assert out.splitlines()[2:] == [
        f"{mixed / 'c.avi'}: face 1 in 3 frames: happy 100%",
        f"{mixed / 'd.avi'}: face 1 in 4 frames: happy 100%",
    ]
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(Path(row["file"]).name, row["frame"]) for row in rows] == [
        *[("a.png", 0), ("b", 1)], *[("c.avi", n) for n in range(3)], *[("d.avi", n) for n in range(4)]
    ]  # fmt: skip
    assert sorted(path.name for path in saved.iterdir()) == ["a.png", "b.jpg", "c.mp4", "d.mp4"]
    assert [count_frames(saved / name) for name in ("c.mp4", "d.mp4")] == [3, 4]
    shown, plain = cv2.imread(str(saved / "a.png")), cv2.imread(str(mixed / "a.png"))
    assert shown is not None and plain is not None
    assert shown.shape == plain.shape
    assert not np.array_equal(shown, plain)


def test_an_image_into_a_folder(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), scene)
    for target in ("made/", "other"):  # one that ends in a slash, one without a suffix
        assert main([str(image), *FAKE, "--quiet", "--save", str(tmp_path / target) + "/" * target.count("/")]) == 0
        assert [path.name for path in (tmp_path / target).iterdir()] == ["face.png"]


def test_two_images_of_one_name_get_two(
    tmp_path: Path, scene: npt.NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "face.png"), scene)
    saved = tmp_path / "out"
    arguments = [str(tmp_path / "1" / "face.png"), str(tmp_path / "2"), *FAKE, "--save", str(saved)]
    assert main(arguments) == 0
    assert sorted(path.name for path in saved.iterdir()) == ["face-2.png", "face.png"]
    assert "replaced" not in capsys.readouterr().err
    assert main(arguments) == 0
    assert sorted(path.name for path in saved.iterdir()) == ["face-2.png", "face.png"]
    assert f"2 images of an earlier run replaced in {saved}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mixed --save mixed", "would write over the sources"),
        ("mixed --save out.mp4", "one file for several videos; give a folder"),
        ("mixed --loop", "--loop repeats one video"),
        ("mixed/a.png mixed/none.png", "mixed/none.png is not a file"),
        ("mixed/a.png 0", "0 is not a file"),
        ("mixed/deeper", "no images and no videos in mixed/deeper"),
        ("mixed/*.gif", "no images match mixed/*.gif"),
        ("mixed/a.png --save mixed/a.png", "would write over the source"),
        ("mixed/a.png --save mixed/", "would write over the sources"),
        ("mixed/c.avi --jsonl mixed/notes.txt", "does not hold JSON lines"),
    ],
)
def test_mistakes(
    arguments: str, message: str, mixed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mixed.parent)
    before = {path: path.read_bytes() for path in mixed.iterdir() if path.is_file()}
    assert main([*arguments.split(), *FAKE]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[-1]
    assert {path: path.read_bytes() for path in mixed.iterdir() if path.is_file()} == before
    assert not (mixed.parent / "out.mp4").exists()


def test_every_page_of_an_image_is_saved(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    pages = tmp_path / "pages.tiff"
    assert cv2.imwritemulti(str(pages), [scene, scene[:, ::-1].copy()])
    assert main([str(pages), *FAKE, "--quiet", "--save", str(tmp_path / "out.png")]) == 0
    assert main([str(pages), *FAKE, "--quiet", "--save", str(tmp_path / "out")]) == 0
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["out-2.png", "out.png", "out/pages-2.tiff", "out/pages.tiff", "pages.tiff"]


def test_one_image_beside_a_video_is_named_too(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "out"
    assert main([str(mixed / "a.png"), str(mixed / "c.avi"), *FAKE, "--jsonl", "-", "--save", str(saved)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "c.avi", "c.avi", "c.avi"]
    assert sorted(path.name for path in saved.iterdir()) == ["a.png", "c.mp4"]


def test_a_folder_of_broken_videos(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(mixed / "broken.mp4", mixed / "deeper" / "1.mp4")
    shutil.copy(mixed / "broken.mp4", mixed / "deeper" / "2.mp4")
    assert main([str(mixed / "deeper"), *FAKE]) == 2
    assert "none of the 2 sources can be read" in capsys.readouterr().err


def test_the_plan(mixed: Path, notices: list[str]) -> None:
    jobs = plan([str(mixed)], CaptureOptions())
    assert [len(job.files) for job in jobs] == [2, 1, 1, 1]
    assert len(notices) == 1
    [job] = plan(["rtsp://camera/*"], CaptureOptions())
    assert job.files == ()
    [job] = plan([str(mixed / "c.avi"), str(mixed / "c.avi")], CaptureOptions())  # once
    assert (job.title, job.save_as) == ("", "c.mp4")
    shutil.copy(mixed / "c.avi", mixed / "c.mkv")
    names = [str(mixed / "c.avi"), str(mixed / "c.mkv")]
    assert [job.save_as for job in plan(names, CaptureOptions())] == ["c.mp4", "c-2.mp4"]
    with pytest.raises(SourceError):
        plan([str(mixed / "deeper")], CaptureOptions())
    with pytest.raises(UsageError):
        plan(["a", "b"], CaptureOptions())


def test_a_live_source_keeps_its_earlier_recordings(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, saved = tmp_path / "t.jsonl", tmp_path / "t.mkv"
    arguments = [str(video), "--realtime", *FAKE, "--jsonl", str(lines), "--save", str(saved)]
    for _ in range(2):
        assert main(arguments) == 0
    err = capsys.readouterr().err
    assert f"{saved} is kept; this recording goes to {tmp_path / 't-1.mkv'}" in err
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    starts = [number for number, row in enumerate(rows) if row.get("event") == "start"]
    assert starts[0] == 0 and len(starts) == 2
    assert all(set(rows[number]) == {"event", "time"} for number in starts)
    frames = [row["frame"] for row in rows if "event" not in row]
    assert frames.count(0) == 2
    assert count_frames(saved) >= 10
    assert count_frames(tmp_path / "t-1.mkv") >= 10
    # A file as source adds to what a live one has written, instead of wiping it.
    before = lines.read_text()
    assert main([str(video), *FAKE, "--jsonl", str(lines)]) == 0
    assert lines.read_text().startswith(before)


def test_a_file_replaces_its_own_output(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, saved = tmp_path / "t.jsonl", tmp_path / "t.mp4"
    arguments = [str(video), *FAKE, "--jsonl", str(lines), "--save", str(saved)]
    assert main(arguments) == 0
    assert "replaced" not in capsys.readouterr().err
    assert main(arguments) == 0
    assert f"{saved} exists and is replaced" in capsys.readouterr().err
    assert len(lines.read_text().splitlines()) == count_frames(saved) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "t.mp4"]


def test_unused_path(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert unused_path(path) == path
    path.touch()
    (tmp_path / "a-1.mp4").symlink_to("nowhere")
    assert unused_path(path) == tmp_path / "a-2.mp4"
