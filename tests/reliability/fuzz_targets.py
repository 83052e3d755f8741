"""What is fed with mutated bytes: one class a reader, each through the product's own entry point.

``feed`` returns when the input was accepted, and raises a ``FerError`` when it was refused, which is as good. Anything
else (another exception, a signal, silence) is a finding.
"""

from __future__ import annotations

import random
import shutil
import socket
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tests.reliability import fuzz_seeds
from tests.reliability.fuzz_mutate import JSON_TOKENS, mutate, mutate_gently, mutate_json, mutate_zip

from fer_edge.errors import FerError, InputError


class Target:
    """One reader."""

    tokens: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds = self.make_seeds()

    def make_seeds(self) -> list[bytes]:
        """Sound inputs."""
        raise NotImplementedError

    def mutated(self, rng: random.Random) -> bytes:
        """One input."""
        return mutate(rng, self.seeds, self.tokens)

    def feed(self, content: bytes) -> None:
        """Give it to the product."""
        raise NotImplementedError

    def close(self) -> None:
        """After the last input."""

    def put(self, name: str, content: bytes) -> Path:
        """A file in the target's folder."""
        path = self.folder / name
        path.write_bytes(content)
        return path


class Images(Target):
    """Image decoder and preprocessing, with boxes inside and outside of the frame."""

    def make_seeds(self) -> list[bytes]:
        return fuzz_seeds.images()

    def feed(self, content: bytes) -> None:
        from fer_edge.capture.pictures import read_image
        from fer_edge.preprocess import preprocess_face, to_float_input, to_int8_input

        frame = read_image(self.put("x.jpg", content))
        height, width = frame.shape[:2]
        for box in (None, (0, 0, width, height), (-5, -5, 20, 20), (width - 1, height - 1, 3, 900), (1, 1, 1, 1)):
            face = preprocess_face(frame, 16, box)
            assert face.shape == (16, 16)
            assert face.dtype == np.uint8
            assert np.array_equal(to_int8_input(face[None]) / 128.0, to_float_input(face[None]))


class _Model(Target):
    """A model file. This process takes the place of the trial process of ``fer_edge.loading.trial``: it may die where
    that one may, and the runner then shows that ``open_classifier`` survives the same file."""

    name: ClassVar[str]
    backend: ClassVar[str]

    def mutated(self, rng: random.Random) -> bytes:
        return mutate(rng, self.seeds) if rng.random() < 0.4 else mutate_gently(rng, self.seeds)

    def feed(self, content: bytes) -> None:
        from fer_edge.loading.check import check_structure
        from fer_edge.loading.trial import try_model

        path = self.put(self.name, content)
        check_structure(path)
        try_model(path, self.backend)


class TFLite(_Model):
    """TFLite loading and one inference."""

    name = "x.tflite"
    backend = "litert"

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.tiny_tflite()]


class Onnx(_Model):
    """ONNX loading and one inference."""

    name = "x.onnx"
    backend = "onnx"

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.tiny_onnx()]


class Manifest(Target):
    """``manifest.json`` beside a model."""

    def make_seeds(self) -> list[bytes]:
        self.put("m.tflite", b"not read")
        return [fuzz_seeds.manifest()]

    def mutated(self, rng: random.Random) -> bytes:
        return mutate_json(rng, self.seeds)

    def feed(self, content: bytes) -> None:
        from fer_edge.loading.check import is_named_by_manifest

        self.put("manifest.json", content)
        is_named_by_manifest(self.folder / "m.tflite")


class Config(Target):
    """The options file of ``fer-camera``."""

    tokens = (b'"', b"[", b"[[x]]\n", b"=", b"\n", b"\xff", b'"""', b"1e999", b"size = 9\n", b"nan")

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.config()]

    def feed(self, content: bytes) -> None:
        from fer_edge.app.config_file import config_arguments
        from fer_edge.app.options import build_parser

        made = build_parser()
        made.parse_args(config_arguments(self.put("c.toml", content), made)[0])


class Golden(Target):
    """``golden.npz`` and its replay; nothing is ever unpickled."""

    def make_seeds(self) -> list[bytes]:
        from fer_edge.loading.open import open_classifier

        self._classifier = open_classifier(backend="fake")
        return [fuzz_seeds.golden_npz()]

    def mutated(self, rng: random.Random) -> bytes:
        return mutate_zip(rng, self.seeds)

    def feed(self, content: bytes) -> None:
        from fer_edge.verification.golden import read_golden
        from fer_edge.verification.replay import verify_classifier

        verify_classifier(self._classifier, read_golden(self.put("golden.npz", content))).lines()


class Csv(Target):
    """``fer2013.csv``, read as ``fer-train --data`` and ``fer-data import`` read it."""

    name: ClassVar[str] = "x.csv"
    tokens: ClassVar[tuple[bytes, ...]] = (
        b",",
        b"\n",
        b'"',
        b"\x00",
        b" 256",
        b" -1",
        b"Usage",
        b"\xff\xfe",
        b" 1e9",
        b"\r\n,,\n",
    )

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.csv()]

    def feed(self, content: bytes) -> None:
        from fer_train.data.dataset import load_dataset

        cache = self.folder / "cache"
        try:
            found = load_dataset(self.put(self.name, content), cache_dir=cache)
            for split in found.splits.values():
                assert split.images.dtype == np.uint8
                assert len(split.images) == len(split.labels) == len(split.names)
                assert 0 <= int(split.labels.min()) <= int(split.labels.max()) < 7
        finally:
            shutil.rmtree(cache, ignore_errors=True)


class Zip(Csv):
    """A zip in Kaggle's layout; nothing may be written outside of the cache."""

    name = "x.zip"
    tokens = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"../", b"/etc/", b"train/", b"\xff\xff\xff\xff", b"\x00")

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.archive()]

    def mutated(self, rng: random.Random) -> bytes:
        return mutate_zip(rng, self.seeds, self.tokens)


class Tar(Target):
    """A tar, plain or compressed, as ``fer-data import`` takes it; nothing may be written outside of its folder."""

    tokens = (b"ustar", b"../", b"/etc/", b"\x00" * 512, b"7777777", b"\x1f\x8b", b"L", b"2")

    def make_seeds(self) -> list[bytes]:
        return fuzz_seeds.tars()

    def mutated(self, rng: random.Random) -> bytes:
        seeds = [rng.choice(self.seeds)]
        return mutate(rng, seeds, self.tokens) if rng.random() < 0.5 else mutate_gently(rng, seeds)

    def feed(self, content: bytes) -> None:
        from fer_train.importing.importer import import_dataset

        target = self.folder / "imported"
        try:
            import_dataset(self.put("x.tar", content), target)
        finally:
            shutil.rmtree(target, ignore_errors=True)
            found = sorted(path.name for path in self.folder.iterdir())
            assert found == ["x.tar"], found


class BenchResult(Target):
    """The JSON files of ``fer-bench``, as ``compare`` reads them."""

    tokens = JSON_TOKENS

    def make_seeds(self) -> list[bytes]:
        return [fuzz_seeds.bench_result()]

    def mutated(self, rng: random.Random) -> bytes:
        return mutate_json(rng, self.seeds)

    def feed(self, content: bytes) -> None:
        from fer_bench.compare.models import compare_reports
        from fer_bench.report_file import read_report

        report = read_report(self.put("r.json", content))
        compare_reports(report, report)


class Web(Target):
    """The web page, with its token, by raw bytes on a connection. Refused: a 4xx answer, or none but a closed
    connection; an answer of 500 or more, and a page that no longer answers afterwards, are findings."""

    tokens = (
        b"\r\n", b"\r\n\r\n", b"HTTP/1.1", b"Host: x\r\n", b"%00", b"/../", b"Content-Length: 99999999999\r\n",
        b"A" * 70_000, b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"?token=", b"\x00", b"\xff",
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from fer_edge.outputs.status import StatusBoard
        from fer_edge.outputs.web import WebPage
        from fer_edge.outputs.web_state import WebOptions

        board: Any = StatusBoard(_idle_pipeline())
        self._page = WebPage(WebOptions(port=0, token="secret"), board)
        self._count = 0

    def make_seeds(self) -> list[bytes]:
        return fuzz_seeds.requests()

    def feed(self, content: bytes) -> None:
        status = self._send(content)
        self._count += 1
        if self._count % 20 == 0:
            alive = self._send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert alive in (200, 503), f"the page no longer answers: {alive}"
        # 503 is the health check's own answer before the first frame.
        assert status is None or status < 500 or status == 503, f"the page failed: {status}"
        if status is None or status >= 400:
            raise InputError(f"answered {status}")

    def _send(self, content: bytes) -> int | None:
        with socket.create_connection(("127.0.0.1", self._page.port), timeout=60) as connection:
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(4096)
            except (ConnectionResetError, BrokenPipeError):
                return None
        words = answer.split(maxsplit=2)
        return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") else None

    def close(self) -> None:
        self._page.close()


def _idle_pipeline() -> Any:
    """What a status board looks at, before the first frame."""
    from fer_edge.loading.open import open_classifier
    from fer_edge.pipeline import FacePipeline

    class Dark:
        description, live, continuous, fps, state = "nothing", False, True, None, "running"

        def frames(self) -> Any:
            return iter(())

        def stop(self) -> None:
            pass

    class Blind:
        description = "nothing"

        def detect(self, image: Any, small: Any = None) -> list[Any]:
            del image, small
            return []

    source: Any = Dark()
    detector: Any = Blind()
    return FacePipeline(source, open_classifier(backend="fake"), detector)


TARGETS: dict[str, type[Target]] = {
    "image": Images,
    "tflite": TFLite,
    "onnx": Onnx,
    "manifest": Manifest,
    "config": Config,
    "golden": Golden,
    "csv": Csv,
    "zip": Zip,
    "tar": Tar,
    "bench-result": BenchResult,
    "web": Web,
}
MODEL_TARGETS: tuple[str, ...] = ("tflite", "onnx")


def input_number(target: Target, name: str, seed: int, index: int) -> bytes:
    """The input with this number, the same in every process."""
    return target.mutated(random.Random(f"{name}/{seed}/{index}"))


def outcome(target: Target, content: bytes) -> tuple[str, str]:
    """``A`` accepted, ``R`` refused, ``E`` an error that a user would see as a traceback; and its text."""
    try:
        target.feed(content)
    except FerError as error:
        said = str(error)
        return ("R", said) if said.count("\n") < 2 else ("E", f"a message of {said.count(chr(10)) + 1} lines: {said}")
    except MemoryError:
        return "E", "MemoryError"
    except Exception as error:  # the finding
        return "E", f"{type(error).__name__}: {error}"
    return "A", ""
