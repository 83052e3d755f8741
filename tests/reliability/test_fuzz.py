"""A slice of the fuzz campaign, and that the campaign sees what it looks for. The whole: ``fuzz_run.py``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.reliability import fuzz_run, fuzz_targets
from tests.reliability.fuzz_mutate import mutate, mutate_gently, mutate_json, mutate_zip
from tests.reliability.fuzz_targets import MODEL_TARGETS, TARGETS, Target, input_number

from fer_edge.errors import DataError, InputError, ModelError
from fer_edge.loading.check import check_file, check_structure

SLICE = 80


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_accepted_or_refused(name: str) -> None:
    if name == "web":
        pytest.importorskip("uvicorn", reason="the extra web is not installed")
    done = fuzz_run.run_target(name, SLICE, seed=2026)
    assert done.crashes == done.hangs == done.tracebacks == []
    assert done.accepted + done.refused == done.inputs == SLICE
    assert done.refused > SLICE // 10  # mutation bites
    assert done.peak_rss_mib < fuzz_run.MAX_MEMORY_MIB


class Bad(Target):
    """A reader with every fault; the input is its number."""

    def make_seeds(self) -> list[bytes]:
        return [b"ok"]

    def mutated(self, rng: Any) -> bytes:
        kinds: tuple[bytes, ...] = (b"ok", b"refuse", b"raise", b"crash", b"hang")
        chosen: bytes = rng.choice(kinds)
        return chosen

    def feed(self, content: bytes) -> None:
        if content == b"refuse":
            raise InputError("no")
        if content == b"raise":
            raise ZeroDivisionError("division by zero")
        if content == b"crash":
            os.abort()
        while content == b"hang":
            time.monotonic()


def test_the_campaign_sees_every_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The child imports the table of targets afresh, so the bad one is put there by a module that Python runs first.
    (tmp_path / "sitecustomize.py").write_text(
        "import tests.reliability.fuzz_targets as t, tests.reliability.test_fuzz as b\nt.TARGETS['bad6'] = b.Bad\n"
    )
    monkeypatch.setattr(fuzz_run, "CHECKOUT", f"{fuzz_run.CHECKOUT}{os.pathsep}{tmp_path}")
    monkeypatch.setitem(fuzz_targets.TARGETS, "bad6", Bad)
    monkeypatch.setattr(fuzz_run, "HANG_CPU_S", 0.3)
    done = fuzz_run.run_target("bad6", 5, keep=tmp_path / "kept")
    contents = [input_number(Bad(tmp_path), "bad6", 0, index) for index in range(5)]
    assert {finding.what for finding in done.crashes} == {"SIGABRT"}
    assert [f.index for f in done.crashes] == [i for i, c in enumerate(contents) if c == b"crash"]
    assert [f.index for f in done.hangs] == [i for i, c in enumerate(contents) if c == b"hang"]
    assert [f.what for f in done.tracebacks] == ["ZeroDivisionError: division by zero"] * contents.count(b"raise")
    assert (done.refused, done.accepted) == (contents.count(b"refuse"), contents.count(b"ok"))
    assert set(contents) == {b"ok", b"refuse", b"raise", b"crash", b"hang"}
    assert len(list((tmp_path / "kept").iterdir())) == done.n_findings == 3


def test_inputs_repeat(tmp_path: Path) -> None:
    first, second = (TARGETS["zip"](tmp_path) for _ in range(2))
    drawn = [input_number(first, "zip", 1, index) for index in range(20)]
    assert drawn == [input_number(second, "zip", 1, index) for index in range(20)]
    assert len(set(drawn)) > 15


def test_mutators_change_what_they_are_given() -> None:
    import random

    from tests.reliability import fuzz_seeds

    for seed, mutator in ((b"0123456789" * 9, mutate), (b"0123456789" * 9, mutate_gently),
                          (fuzz_seeds.manifest(), mutate_json), (fuzz_seeds.archive(), mutate_zip)):  # fmt: skip
        made = {mutator(random.Random(i), [seed]) for i in range(40)}
        assert len(made) > 20


@pytest.mark.parametrize("name", MODEL_TARGETS)
def test_a_runtime_that_crashes_is_contained(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that kills its process, as a damaged model can: the caller gets a ModelError and lives."""
    target = TARGETS[name](tmp_path)
    path = target.put(f"x.{name}", target.seeds[0])
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "from fer_edge.inference import backends\n"
        "def load_backend(name):\n"
        "    return lambda path, threads: os.abort()\n"
        "backends.load_backend = load_backend\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"makes the runtime .* crash \(SIGABRT\)"):
        check_file(path, "litert" if name == "tflite" else "onnx")


@pytest.mark.parametrize(
    ("name", "find", "put", "words"),
    [
        ("tflite", b"TFL3", b"TFLX", "no TFL3 mark"),
        ("onnx", b"fuzz seed", b"fuzz see", "graph: field number 0"),
    ],
)
def test_structure_says_what_is_wrong(name: str, find: bytes, put: bytes, words: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    check_structure(target.put(f"good.{name}", target.seeds[0]))
    path = target.put(f"bad.{name}", target.seeds[0].replace(find, put))
    with pytest.raises(ModelError, match=words):
        check_structure(path)


def test_the_manifest_s_checksum_decides(tmp_path: Path) -> None:
    import hashlib
    import json

    target = TARGETS["tflite"](tmp_path)
    path = target.put("m.tflite", target.seeds[0])
    digest = hashlib.sha256(target.seeds[0]).hexdigest()
    for told, trusted in ((digest, True), ("0" * 64, False)):
        (tmp_path / "manifest.json").write_text(json.dumps({"models": {"m.tflite": {"sha256": told}}}))
        if trusted:
            check_file(path, "no such runtime")  # neither parsed nor tried
        else:
            with pytest.raises(ModelError, match=r"is not the file that .* describes"):
                check_file(path, "litert")


def test_a_chunk_longer_than_its_file_is_not_decoded(tmp_path: Path) -> None:
    """OpenCV would make room for 4 GiB and fill it, for seconds, before it finds nothing."""
    import cv2
    import numpy as np

    from fer_edge.capture.pictures import read_image
    from fer_train.data.decoding import decode_image

    png = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    at = png.index(b"IDAT")
    bad = png[: at - 4] + b"\xff\x00\x00\x13" + png[at:]
    (tmp_path / "good.png").write_bytes(png)
    (tmp_path / "bad.png").write_bytes(bad)
    assert read_image(tmp_path / "good.png").shape == (8, 8, 3)
    with pytest.raises(InputError, match="truncated PNG"):
        read_image(tmp_path / "bad.png")
    assert decode_image(png).shape == (8, 8)
    with pytest.raises(InputError, match="truncated PNG"):
        decode_image(bad)


def test_a_box_far_larger_than_its_image_is_refused() -> None:
    import numpy as np

    from fer_edge.preprocess import MAX_CROP, crop_square

    image = np.zeros((20, 30, 3), np.uint8)
    assert crop_square(image, (-5, -5, 400, 300)).shape == (400, 400, 3)
    with pytest.raises(InputError, match="too large for an image of 30x20"):
        crop_square(image, (0, 0, MAX_CROP + 1, 5))


def test_a_manifest_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"models": ' + "[" * 100_000)
    with pytest.raises(ModelError, match="is not a model manifest"):
        check_file(tmp_path / "m.tflite", "litert")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("boxes", [[0, 0, 9, 9]], "boxes has shape"),
        ("outputs", [[0.5] * 7] * 2, "outputs has shape"),
        ("frame_01", [1, 2, 3], "frame 1 is not a picture"),
        ("labels", ["happy"], "1 labels for 2 frames"),
        ("info", '{"format": 1}', "input_scale, "),
        ("info", "[]", "has format None"),
    ],
)
def test_golden_vectors_that_do_not_fit_together(tmp_path: Path, name: str, content: Any, words: str) -> None:
    import io

    import numpy as np
    from tests.reliability.fuzz_seeds import golden_npz

    from fer_edge.verification.golden import read_golden

    arrays: dict[str, Any] = dict(np.load(io.BytesIO(golden_npz())))
    np.savez(tmp_path / "good.npz", **arrays)
    assert len(read_golden(tmp_path / "good.npz").frames) == 2
    np.savez(tmp_path / "bad.npz", **(arrays | {name: np.asarray(content)}))
    with pytest.raises(InputError, match=words):
        read_golden(tmp_path / "bad.npz")


@pytest.mark.parametrize("how", ["while True: pass", "import time; time.sleep(60)"])
def test_a_runtime_that_hangs_is_ended(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing without end, and sleeping without end: nothing waits longer for a model than the limit."""
    from fer_edge.loading import check

    target = TARGETS["tflite"](tmp_path)
    path = target.put("x.tflite", target.seeds[0])
    body = f"    def opened(path, threads):\n        {how}\n    return opened\n"
    (tmp_path / "sitecustomize.py").write_text(
        "from fer_edge.inference import backends\n"
        f"def load_backend(name):\n{body}backends.load_backend = load_backend\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert check.TRIAL_SECONDS <= 5.0
    monkeypatch.setattr(check, "TRIAL_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"did not finish with it in 0 s; it is damaged"):
        check_file(path, "litert")
    assert time.monotonic() - began < 50.0


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    from fer_train.data.dataset import load_dataset

    target = TARGETS["zip"](tmp_path)
    name = b"train/angry/Training_0.png"
    assert target.seeds[0].count(name) == 2
    # A NUL ends the name for zipfile.
    path = target.put("x.zip", target.seeds[0].replace(name, b"\0" * len(name)))
    with pytest.raises(DataError, match="a member without a name"):
        load_dataset(path, cache_dir=tmp_path / "cache")
