"""``fer-analyze``: the tables, what a second run does, odd inputs, and the same bytes whoever did the work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.edge.analyze_runs import analyze, command, plain, tree

import fer_edge
from fer_edge import EMOTIONS
from fer_edge.app.cli import main as camera
from fer_edge.arrays import Image
from fer_edge.errors import DataError, UsageError
from fer_edge.file_lock import locked
from fer_edge.rows import COLUMNS

pd = pytest.importorskip("pandas", reason="the extra table is not installed")
pytest.importorskip("pyarrow", reason="the extra table is not installed")
pytestmark = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
MakeVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo, scene: Image) -> Path:
    """Clips of one name in two folders, odd names, an image, a video without faces, a broken one, and a text."""
    folder = tmp_path_factory.mktemp("work") / "clips"
    for name, n_frames in (("a/clip.avi", 12), ("b/clip.avi", 9), ("b/two words, 'ö' 人 100%#.avi", 5)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(folder / name, n_frames)
    assert cv2.imwrite(str(folder / "photo.png"), scene)
    nothing = cv2.VideoWriter(str(folder / "dark.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(7):
        nothing.write(np.zeros((120, 160, 3), np.uint8))
    nothing.release()
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    (folder / "notes.txt").write_text("seen at noon")
    (folder / ".hidden.png").write_bytes((folder / "photo.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def results(clips: Path, home: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    done = analyze(clips.parent, home, "clips", "--out", "results")
    return clips.parent / "results", done


def test_a_broken_file_is_listed_and_the_rest_is_done(results: tuple[Path, Any]) -> None:
    out, done = results
    assert done.returncode == 1, done.stderr
    assert "notes.txt (text)" in done.stderr and "hidden" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("fer-analyze: error: 1 of 6 files could not be read")
    files = fer_edge.read_table(out, "files").set_index("file")
    assert list(files.index) == [
        "clips/broken.mp4", "clips/dark.avi", "clips/photo.png", "clips/a/clip.avi", "clips/b/clip.avi",
        "clips/b/two words, 'ö' 人 100%#.avi",
    ]  # fmt: skip
    assert files.error.notna().tolist() == [True] + 5 * [False]
    assert "clips/broken.mp4" in files.error["clips/broken.mp4"] and str(out.parent) not in files.error.iloc[0]
    assert files.frames.tolist()[1:] == [7, 1, 12, 9, 5]
    assert files.faces.tolist()[1:] == [0, 1, 12, 9, 5]
    assert files.seconds["clips/a/clip.avi"] == pytest.approx(0.6) and files.seconds["clips/dark.avi"] == 0.7
    assert pd.isna(files.seconds["clips/photo.png"])


def test_rows_are_the_answers_of_the_pipeline(results: tuple[Path, Any], clips: Path) -> None:
    table = fer_edge.read_table(results[0])
    assert tuple(table.columns) == COLUMNS
    assert list(table.file.unique()) == [
        "clips/photo.png", "clips/a/clip.avi", "clips/b/clip.avi", "clips/b/two words, 'ö' 人 100%#.avi"
    ]  # fmt: skip
    from fer_edge.faces.detectors import open_detector

    rows = table[table.file == "clips/a/clip.avi"].to_dict("records")
    answers = list(fer_edge.FacePipeline(clips / "a/clip.avi", detector=open_detector("haar")))
    assert len(rows) == len(answers) == 12
    for row, result in zip(rows, answers, strict=True):
        [face] = result.faces
        assert (row["frame"], row["time_s"]) == (result.index, round(result.time_s, 4))
        assert (row["x"], row["y"], row["w"], row["h"]) == face.box and row["track_id"] == face.track_id
        assert row["emotion"] == face.emotion
        assert [row[name] for name in EMOTIONS] == pytest.approx(face.probabilities.tolist(), abs=6e-5)
        assert [row[f"{name}_raw"] for name in EMOTIONS] == pytest.approx(face.raw.tolist(), abs=6e-5)


def test_fer_camera_writes_the_same_rows(
    results: tuple[Path, Any], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips.parent)
    own = tmp_path / "own.csv"
    assert camera(["clips/a/clip.avi", "--headless", "--quiet", "--detector", "haar", "--csv", str(own)]) == 0
    tables = results[0].glob("files/clip.avi-*/faces.csv")
    [theirs] = [path for path in tables if b"clips/a/clip" in path.read_bytes()]
    assert own.read_bytes() == theirs.read_bytes()
    pd.testing.assert_frame_equal(fer_edge.read_table(own), fer_edge.read_table(theirs.parent))


def test_every_file_has_its_own_tables_and_picture(results: tuple[Path, Any]) -> None:
    out, _ = results
    files = fer_edge.read_table(out, "files")
    for record in files[files.error.isna()].to_dict("records"):
        folder = out / record["results"]
        assert sorted(path.name for path in folder.iterdir()) == [
            "done.json", "faces.csv", "faces.parquet", "timeline.png"
        ]  # fmt: skip
        picture = cv2.imread(str(folder / "timeline.png"))
        assert picture is not None and picture.shape[1] == 900
        assert len(fer_edge.read_table(folder)) == record["faces"]
        assert list(fer_edge.read_table(folder).dtypes) == list(fer_edge.read_table(out).dtypes)


@pytest.mark.parametrize("table", ["faces", "tracks", "files"])
def test_csv_and_parquet_say_the_same(results: tuple[Path, Any], table: str) -> None:
    frame = fer_edge.read_table(results[0], table)
    assert len(frame) > 3
    pd.testing.assert_frame_equal(frame, fer_edge.read_table(results[0] / f"{table}.csv", table))


def test_the_same_bytes_with_another_number_of_workers(results: tuple[Path, Any], clips: Path, home: Path) -> None:
    before = tree(results[0])
    done = analyze(clips.parent, home, "clips", "--out", "one", "--workers", "1")
    assert done.returncode == 1
    after = tree(clips.parent / "one")
    shutil.rmtree(clips.parent / "one")
    assert after == before


def test_the_overview_names_everything(results: tuple[Path, Any]) -> None:
    text = (results[0] / "index.html").read_text(encoding="utf-8")
    assert "two words, &#39;ö&#39; 人 100%#.avi" in text and "1 file could not be read" in text
    linked = [part.split('"')[0] for part in text.split('src="')[1:]]
    assert len(linked) == 4  # none of the video without faces
    from urllib.parse import unquote

    assert all((results[0] / unquote(name)).is_file() for name in linked)


@pytest.fixture
def copy(results: tuple[Path, Any], clips: Path, tmp_path: Path) -> Path:
    """A folder with the clips and their results, to be changed."""
    shutil.copytree(clips, tmp_path / "clips")
    shutil.copytree(results[0], tmp_path / "results")
    return tmp_path


def stamps(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_second_run_does_only_what_is_missing_or_changed(copy: Path, home: Path, make_video: MakeVideo) -> None:
    out = copy / "results"
    whole = tree(out)
    before = stamps(out)
    done = analyze(copy, home, "clips", "--out", "results")
    assert "0 files analyzed, 5 unchanged, 1 broken" in done.stderr
    assert stamps(out) == before

    [missing] = out.glob("files/dark.avi-*/faces.csv")
    missing.unlink()
    [damaged] = out.glob("files/photo.png-*/timeline.png")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    done = analyze(copy, home, "clips", "--out", "results")
    assert "2 files analyzed, 3 unchanged, 1 broken" in done.stderr
    assert tree(out) == whole

    stat = (copy / "clips/b/clip.avi").stat()
    content = (copy / "clips/b/clip.avi").read_bytes()
    make_video(copy / "clips/b/clip.avi", 8)
    changed = (copy / "clips/b/clip.avi").read_bytes()
    (copy / "clips/b/clip.avi").write_bytes(changed + bytes(len(content) - len(changed)))
    os.utime(copy / "clips/b/clip.avi", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time
    done = analyze(copy, home, "clips", "--out", "results")
    assert "1 file analyzed, 4 unchanged, 1 broken" in done.stderr
    assert fer_edge.read_table(out, "files").set_index("file").faces["clips/b/clip.avi"] == 8

    done = analyze(copy, home, "clips", "--out", "results", "--no-smoothing", "--no-pictures")
    assert "5 files analyzed, 0 unchanged" in done.stderr
    assert not list(out.glob("files/*/timeline.png"))
    table = fer_edge.read_table(out)
    assert (table[list(EMOTIONS)].to_numpy() == table[[f"{name}_raw" for name in EMOTIONS]].to_numpy()).all()

    done = analyze(copy, home, "clips/photo.png", "clips/a", "--out", "results", "--no-smoothing", "--no-pictures")
    assert done.returncode == 0 and "0 files analyzed, 2 unchanged, 0 broken" in done.stderr
    assert "3 folders of earlier runs" in done.stderr
    assert len(fer_edge.read_table(out, "files")) == 2


@pytest.mark.slow
def test_results_among_the_inputs_are_not_analyzed(copy: Path, home: Path) -> None:
    shutil.move(copy / "results", copy / "clips" / "earlier")
    done = analyze(copy, home, "clips", "clips/a/../a/clip.avi", "clips/photo.png", "clips", "--out", "clips/now")
    assert "5 files analyzed, 0 unchanged, 1 broken" in done.stderr
    assert "8 of the files were named more than once" in done.stderr
    assert done.stderr.count("notes.txt") == 1
    done = analyze(copy, home, ".", "clips/photo.png", "--out", "clips/now", "--no-pictures")
    files = fer_edge.read_table(copy / "clips/now", "files")
    assert len(files) == 6 and files.file.is_unique
    assert not files.file.str.contains("timeline").any()
    assert "1 of the files were named more than once" in done.stderr


@pytest.fixture
def slow_clips(tmp_path: Path, make_video: MakeVideo) -> Path:
    (tmp_path / "clips").mkdir()
    for number in range(6):
        # The first ones are done soon; on any machine, also where this process has to wait for its turn, the others
        # then take seconds.
        make_video(tmp_path / "clips" / f"{number}.avi", (10 if number < 3 else 200) + number)
    return tmp_path


def wait_for_first(out: Path, process: subprocess.Popen[Any], seconds: float = 120) -> None:
    """Until a file is done and others are not."""
    end = time.monotonic() + seconds
    while not list(out.glob("files/*/done.json")):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < end, "nothing was done"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_where_it_stopped(slow_clips: Path, home: Path, ending: signal.Signals) -> None:
    arguments = command("clips", "--out", "out", "--workers", "2")
    process = subprocess.Popen(
        arguments,
        cwd=slow_clips,
        env=plain(home),
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    wait_for_first(slow_clips / "out", process)
    process.send_signal(ending)
    _, said = process.communicate(timeout=60)
    if ending == signal.SIGKILL:
        assert process.returncode == -ending
    else:
        assert process.returncode == 130
        assert said.splitlines()[-2].endswith("of 6 files done; the same command goes on from there")
    finished = len(list(slow_clips.glob("out/files/*/done.json")))
    assert 0 < finished < 6
    assert not (slow_clips / "out/faces.csv").exists()
    done = analyze(slow_clips, home, "clips", "--out", "out")
    assert f"{finished} unchanged" in done.stderr and done.returncode == 0, done.stderr
    assert not list(slow_clips.glob("out/**/*.tmp*"))
    analyze(slow_clips, home, "clips", "--out", "whole")
    assert tree(slow_clips / "out") == tree(slow_clips / "whole")


def children(process: int) -> list[int]:
    """Its workers."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    if not listed.is_file():
        return []
    numbers = [int(number) for number in listed.read_text().split()]
    return [number for number in numbers if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc that lists children")
def test_a_worker_that_is_killed_loses_no_file(slow_clips: Path, home: Path) -> None:
    arguments = command("clips", "--out", "out", "--workers", "2")
    process = subprocess.Popen(arguments, cwd=slow_clips, env=plain(home), stderr=subprocess.PIPE, text=True)
    wait_for_first(slow_clips / "out", process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0 and "6 files analyzed" in said, said
    analyze(slow_clips, home, "clips", "--out", "whole")
    assert tree(slow_clips / "out") == tree(slow_clips / "whole")


def test_two_runs_do_not_write_into_one_folder(clips: Path, home: Path, tmp_path: Path) -> None:
    shutil.copy(clips / "photo.png", tmp_path / "photo.png")
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out", "busy"):
        second = analyze(tmp_path, home, "photo.png", "--out", "out")
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert "another fer-analyze writes into out; wait until it has finished" in second.stderr
    assert analyze(tmp_path, home, "photo.png", "--out", "out").returncode == 0


def test_what_cannot_be_is_said_before_anything_is_done(clips: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "files.csv").write_text("mine")
    (tmp_path / "file").write_text("mine")
    shutil.copy(clips / "photo.png", tmp_path / "photo.png")
    for arguments, code, answer in (
        (["empty", "--out", "o"], 2, "no videos and no images in empty; nothing to analyze"),
        (
            ["nowhere.mp4", "--out", "o"],
            2,
            "there is no nowhere.mp4; expected a video, an image",
        ),
        (["*.mkv", "--out", "o"], 2, "nothing matches *.mkv"),
        (["rtsp://user:secret@cam/1", "--out", "o"], 2, "fer-camera rtsp://user:***@cam/1 --csv FILE"),
        (["0", "--out", "o"], 2, "0 is not a file"),
        (["-", "--out", "o"], 2, "- is not a file"),
        (["--out", "o"], 2, "nothing to analyze; expected videos"),
        (["photo.png"], 2, "the following arguments are required: --out"),
        (["photo.png", "--out", ""], 2, "--out is empty"),
        (["photo.png", "--out", "file"], 2, "--out file is a file"),
        (["photo.png", "--out", "file/x"], 2, "--out file/x cannot be made"),
        (["photo.png", "--out", "taken"], 2, "--out taken holds files.csv, which is not of an earlier run"),
        ([".", "--out", "."], 2, "--out . is the folder that is read"),
        (["photo.png", "--out", "o", "--model", "none.tflite"], 2, "no model file none.tflite"),
        (["photo.png", "--out", "o", "--dask", "tcp://127.0.0.1:9", "--workers", "2"], 2, "--workers counts processes"),
    ):
        done = analyze(tmp_path, home, *arguments)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stderr)
        assert answer in done.stderr.splitlines()[-1], done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "taken" / "files.csv").read_text() == "mine"
    assert not (tmp_path / "o").exists()


@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(clips: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    done = analyze(clips.parent, home, "clips", "--out", str(tmp_path / "out"))
    assert done.returncode == 2 and "cannot be written: permission denied" in done.stderr


def test_an_empty_folder_beside_others_is_noticed(clips: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copy(clips / "photo.png", tmp_path / "photo.png")
    done = analyze(tmp_path, home, "empty", "*.png", "--out", "o", "--rotate", "180")
    assert done.returncode == 0 and "no videos and no images in empty" in done.stderr
    assert fer_edge.read_table(tmp_path / "o", "files").file.tolist() == ["photo.png"]


def test_read_table_says_what_it_cannot_read(results: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no table 'rows'; there are faces, tracks, files"):
        fer_edge.read_table(results[0], "rows")
    with pytest.raises(UsageError, match="there is no"):
        fer_edge.read_table(tmp_path / "nothing")
    with pytest.raises(UsageError, match="expected a folder of fer-analyze"):
        fer_edge.read_table(tmp_path)
    with pytest.raises(DataError, match="does not hold the table faces"):
        fer_edge.read_table(results[0] / "files.csv")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read as a table"):
        fer_edge.read_table(tmp_path / "x.parquet")


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    """No process of a test outlives it."""
    yield
    assert not children(os.getpid())
