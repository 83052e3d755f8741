"""Parts of ``fer-analyze`` by themselves: summaries, names, inputs, progress, what makes a file due, ``--csv``."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.analysis import inputs as planning
from fer_edge.analysis.cli import build_parser
from fer_edge.analysis.inputs import list_inputs, result_folder
from fer_edge.analysis.one_file import Job, Outcome, carry_out
from fer_edge.analysis.progress import FilesProgress
from fer_edge.analysis.recipe import Recipe, open_tools, shipped_files
from fer_edge.analysis.remote import is_address
from fer_edge.app.cli import main as camera
from fer_edge.arrays import Image
from fer_edge.errors import ModelError, SourceError
from fer_edge.labels import EMOTIONS
from fer_edge.loading.model_files import find_model

HAAR_ONLY = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")


def recipe(**changes: Any) -> Recipe:
    from fer_edge.files import sha256_of

    model = find_model()
    made = Recipe(
        detector="haar", detector_engine="", detector_file=None, detector_sha256=None, detect_width=None,
        search="adaptive", detect_every=1, margin=0.0, model_file=str(model), model_sha256=sha256_of(model),
        backend="litert", threads=1, opencv_threads=1, smoothing_s=0.2, hysteresis=0.1, min_confidence=0.35,
        orientation=1, max_frames=None, pictures=False,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def rows(*seen: tuple[int, int, str | None], times: list[float]) -> Any:
    """A table of faces: number of the frame, of the face, and what it showed."""
    pytest.importorskip("pyarrow", reason="the extra table is not installed")
    from fer_edge.analysis.table import FaceTable

    table = FaceTable()
    for frame, track, emotion in seen:
        table.add([("f", frame, times[frame], track, 1, 2, 3, 4, 0.5 + track / 10, emotion, *([0.0] * 14))])
    return table.arrow()


def summary(
    *seen: tuple[int, int, str | None], times: list[float], kind: str = "video", fps: float | None = 10.0
) -> Any:
    from fer_edge.analysis.summary import Seen, summarize

    return summarize("f", rows(*seen, times=times), Seen(kind, 64, 48, np.array(times), fps))


def test_durations_follow_the_times_of_the_frames() -> None:
    times = [0.0, 0.1, 0.6, 0.7]  # the second frame stays for half a second
    whole, [first, second] = summary(
        (0, 1, "happy"), (1, 1, "sad"), (1, 2, None), (2, 1, None), (3, 1, "sad"), times=times
    )
    assert (whole["frames"], whole["faces"], whole["tracks"], whole["frames_with_faces"]) == (4, 5, 2, 4)
    assert (whole["seconds"], whole["seconds_with_faces"]) == (pytest.approx(0.8), pytest.approx(0.8))
    assert (first["first_s"], first["last_s"], first["frames"], first["seconds"]) == (0.0, 0.7, 4, 0.8)
    assert (first["seconds_happy"], first["seconds_sad"], first["seconds_uncertain"]) == (0.1, 0.6, 0.1)
    assert (first["share_happy"], first["share_sad"], first["share_uncertain"]) == (0.25, 0.5, 0.25)
    assert (first["emotion"], first["switches"], first["score"]) == ("sad", 1, 0.6)
    assert (second["emotion"], second["seconds_uncertain"], second["seconds"]) == (None, 0.5, 0.5)
    assert whole["seconds_sad"] == 0.6 and whole["seconds_uncertain"] == 0.6 and whole["switches"] == 1
    assert sum(whole[f"share_{name}"] for name in (*EMOTIONS, "uncertain")) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shown", "switches"),
    [
        (["happy"] * 4, 0),
        (["happy", None, "happy", None], 0),
        (["happy", None, "sad", "happy"], 2),
        ([None, None, None, "sad"], 0),
        (["happy", "sad", "happy", "sad"], 3),
    ],
)
def test_switches_pass_over_uncertain_answers(shown: list[str | None], switches: int) -> None:
    whole, _ = summary(*((n, 1, name) for n, name in enumerate(shown)), times=[0.0, 0.1, 0.2, 0.3])
    assert whole["switches"] == switches


def test_nothing_seen_and_stills() -> None:
    whole, tracks = summary(times=[0.0, 0.1, 0.2])
    assert tracks == [] and whole["emotion"] is None and whole["share_happy"] is None
    assert (whole["seconds"], whole["seconds_happy"], whole["seconds_with_faces"]) == (pytest.approx(0.3), 0.0, 0.0)
    whole, [track] = summary((0, 1, "sad"), times=[0.0], kind="image", fps=None)
    assert track["seconds"] is None and track["seconds_sad"] is None and whole["seconds"] is None
    assert track["share_sad"] == 1.0
    whole, [track] = summary((0, 1, "sad"), times=[0.0], fps=4.0)
    assert track["seconds"] == 0.25, "a single frame of a video lasts as long as its rate says"


def test_folders_of_results_are_readable_and_never_the_same() -> None:
    names = [
        "a/x.mp4",
        "b/x.mp4",
        "x.mp4",
        "/x.mp4",
        "x.mp4/",
        "Ж b/ö 人.avi",
        "..",
        "a" * 300 + ".mp4",
        "s3://b/x.mp4",
        "a:b",
    ]
    folders = [result_folder(name) for name in names]
    assert len(set(folders)) == len(names)
    assert folders[0].startswith("x.mp4-") and folders[5].startswith("ö_人.avi-")
    for folder in folders:
        assert len(folder.encode()) < 255 and not folder.startswith(".") and "/" not in folder and ":" not in folder


def test_a_folder_is_read_with_all_below_it_but_not_in_a_circle(tmp_path: Path, scene: Image) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("in/b.png", "in/deep/a.png", "other/c.png", "in/deep/.hidden.png"):
        cv2.imwrite(str(tmp_path / name), scene)
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "results").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "results" / "timeline.png"), scene)
    (tmp_path / "in" / "results" / planning.MARK).write_text("{}")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "in" / "pipe.mp4")
    found = list_inputs([str(tmp_path / "in")], tmp_path / "out")
    assert [Path(each.file).relative_to(tmp_path).as_posix() for each in found] == [
        "in/b.png", "in/deep/a.png", "in/linked/c.png"
    ]  # fmt: skip
    assert all(each.size > 0 and Path(each.location).is_absolute() for each in found)
    again = list_inputs(
        [str(tmp_path / "in" / "**" / "*.png"), str(tmp_path / "in" / "b.png")], tmp_path / "in" / "results"
    )
    assert len({each.identity for each in again}) == len(again) and not [e for e in again if "timeline" in e.file]


def test_a_name_that_is_not_utf8_has_a_row_that_is(tmp_path: Path, scene: Image) -> None:
    path = os.fsencode(tmp_path) + b"/b\xe9.png"
    try:
        Path(os.fsdecode(path)).write_bytes(cv2.imencode(".png", scene)[1].tobytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    [found] = list_inputs([str(tmp_path)], tmp_path / "out")
    assert found.file.endswith("b\\udce9.png") and Path(found.location).is_file()


def test_addresses_are_told_from_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_address("s3://bucket/x") and not is_address("clips/x") and not is_address("12:30:05.mp4")


def test_the_fingerprint_knows_what_matters() -> None:
    base = recipe()
    assert recipe(threads=4, opencv_threads=3, model_file="/elsewhere").fingerprint() == base.fingerprint()
    for change in ({"margin": 0.1}, {"model_sha256": "0"}, {"max_frames": 3}, {"pictures": True}, {"version": "9"},
                   {"orientation": 6}, {"detector": "yunet"}, {"detector_sha256": "1"}):  # fmt: skip
        assert dataclasses.replace(base, **change).fingerprint() != base.fingerprint(), change


@HAAR_ONLY
def test_a_machine_without_the_model_takes_what_was_sent(tmp_path: Path) -> None:
    here = recipe()
    (tmp_path / "mine.tflite").write_bytes(Path(here.model_file).read_bytes())
    elsewhere = dataclasses.replace(here, model_file="/no/such/mine.tflite")
    open_tools(elsewhere, shipped_files(here)).classifier.close()
    with pytest.raises(ModelError, match="is not here, or has changed"):
        open_tools(dataclasses.replace(elsewhere, model_sha256="0" * 64), shipped_files(here))
    with pytest.raises(ModelError, match="install the same packages on all machines"):
        open_tools(dataclasses.replace(here, detector_engine="other"))


@HAAR_ONLY
def test_one_file_gives_artifacts_or_a_reason(tmp_path: Path, scene: Image) -> None:
    pytest.importorskip("pyarrow", reason="the extra table is not installed")
    tools = open_tools(recipe())
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), scene)

    def outcome(path: Path, known: str | None = None) -> Outcome:
        return carry_out(Job(0, "name.png", str(path), 1, "folder", known), recipe(), lambda: tools)

    done = outcome(photo)
    assert list(done.artifacts) == ["faces.parquet", "faces.csv", "done.json"] and not done.error
    assert json.loads(done.artifacts["done.json"])["summary"]["faces"] == 1
    assert outcome(photo).artifacts == done.artifacts
    assert outcome(photo, done.sha256).is_known and not outcome(photo, done.sha256).artifacts
    assert outcome(photo, "other").artifacts == done.artifacts
    (tmp_path / "bad.png").write_bytes(photo.read_bytes()[:60])
    broken = outcome(tmp_path / "bad.png")
    assert "name.png" in broken.error and str(tmp_path) not in broken.error and not broken.artifacts
    assert "all machines need it under the same path" in outcome(tmp_path / "none.png").error

    def no_tools() -> Any:
        raise ModelError("no model")

    with pytest.raises(ModelError, match="no model"):  # no fault of the file
        carry_out(Job(0, "name.png", str(photo), 1, "folder"), recipe(), no_tools)
    tools.classifier.close()


def test_progress_counts_by_size_and_leaves_out_what_is_done() -> None:
    jobs = [Job(n, f"{n}", f"/{n}", size, str(n)) for n, size in enumerate([950_000, 950_000, 1_950_000])]
    progress = FilesProgress(jobs, io.StringIO())
    assert progress.text(0, 5.0) == "0 %, 0 of 3 files"
    progress.ended(Outcome(0, is_known=True))
    progress.ended(Outcome(1))
    assert progress.text(0, 10.0) == "33 %, 2 of 3 files, 0:20 left"
    progress.partly_done(2, 0.5)
    assert progress.text(0, 20.0) == "67 %, 2 of 3 files, 0:10 left"
    progress.ended(Outcome(2, error="broken"))
    assert progress.text(0, 30.0) == "100 %, 3 of 3 files, 1 broken, 0:00 left"


def test_the_options_are_those_of_fer_camera() -> None:
    from fer_edge.app.options import build_parser as camera_parser

    shared = {action.dest: action for action in build_parser()._actions}
    theirs = {action.dest: action for action in camera_parser()._actions}
    for name in ("detector", "detector_model", "detect_width", "search", "detect_every", "margin", "model", "backend",
                 "threads", "smoothing", "smoothing_s", "hysteresis", "min_confidence", "rotate", "flip"):  # fmt: skip
        assert (
            shared[name].default == theirs[name].default and shared[name].option_strings == theirs[name].option_strings
        )


@HAAR_ONLY
def test_csv_on_standard_output_and_over_something_else(
    tmp_path: Path, scene: Image, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("two words,.png", scene)
    options = ["--headless", "--quiet", "--detector", "haar", "--csv"]
    assert camera(["two words,.png", *options, "-"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("file,frame,time_s,track_id,x,y,w,h,score,emotion,angry,") and row.startswith(
        '"two words,.png",0,0.0,1,'
    )
    Path("mine.csv").write_text("a,b\n1,2\n")
    assert camera(["two words,.png", *options, "mine.csv"]) == 2
    assert "--csv mine.csv is there already and does not hold a table of faces" in capsys.readouterr().err
    assert Path("mine.csv").read_text() == "a,b\n1,2\n"
    for _ in range(2):
        assert camera(["two words,.png", *options, "ours.csv"]) == 0
        assert Path("ours.csv").read_text() == f"{header}\n{row}\n"
    assert camera(["two words,.png", *options, "ours.csv", "--jsonl", "ours.csv"]) == 2
    assert camera(["two words,.png", "--headless", "--csv", ""]) == 2
    assert "--csv is empty" in capsys.readouterr().err


@HAAR_ONLY
def test_csv_of_a_live_source_keeps_an_earlier_one(video: Path, tmp_path: Path, notices: list[str]) -> None:
    own = tmp_path / "live.csv"
    options = [str(video), "--realtime", "--headless", "--detector", "haar", "--csv", str(own), "--max-frames", "3"]
    assert camera(options) == 0 and camera(options) == 0
    assert (tmp_path / "live-1.csv").is_file() and own.read_text().count("file,frame") == 1


def test_no_videos_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing to analyze"):
        list_inputs([str(tmp_path)], tmp_path / "out")
