"""Commands whose output is piped away, as in ``| head -1``: quiet, whatever the environment says about buffering.

And sources that come through pipes: ``-``, named pipes, ``<(...)`` of a shell.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.edge.made_files import AS_SEEN, alike, corners, film, jpeg, set_matrix

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.inputs import plan
from fer_edge.capture.open import open_source
from fer_edge.capture.orientation import combine
from fer_edge.errors import SourceError

ROOT = Path(__file__).parents[2]
CAMERA = [sys.executable, str(ROOT / "edge" / "run_camera.py")]
FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]
MODULES = {
    "fer-camera": "fer_edge.app.cli",
    "fer-data": "fer_train.commands.data",
    "fer-train": "fer_train.commands.train",
    "fer-export": "fer_export.cli",
    "fer-bench": "fer_bench.cli",
}
PRINTERS = """
import sys
from fer_edge.command import run_command

def body():
    for _ in range(1000):
        print("x" * 100)
    return 0

sys.exit(run_command("printer", body))
"""


def plain_environment(tmp_path: Path, *, unbuffered: bool = False) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "FER_ASSETS") if key in os.environ}
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("edge", "train", "export", "benchmarks"))
    switches = {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    return {**kept, **switches, "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYTHONPATH": paths}


def read_one_line(command: Sequence[str], environment: dict[str, str], n_lines: int = 1) -> tuple[int, str]:
    """Exit code and standard error of ``command | head -n N``."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(n_lines):
            process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        return process.wait(60), err


def starter(name: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; from {MODULES[name]} import main; sys.exit(main())"]


@pytest.mark.parametrize("unbuffered", [False, True])
def test_json_lines(long_video: Path, tmp_path: Path, unbuffered: bool) -> None:
    command = [*CAMERA, "--source", str(long_video), *FAKE, "--quiet", "--jsonl", "-"]
    assert read_one_line(command, plain_environment(tmp_path, unbuffered=unbuffered)) == (0, "")


def test_help_of_all_commands(tmp_path: Path) -> None:
    for name in MODULES:
        # Nobody reads a single line: the pipe is broken whenever the text is written.
        assert read_one_line([*starter(name), "--help"], plain_environment(tmp_path), 0) == (0, ""), name


@pytest.mark.parametrize("option", ["--print-config", "--version", "--verify"])
def test_printed_answers_of_the_camera(option: str, tmp_path: Path) -> None:
    assert read_one_line([*CAMERA, option], plain_environment(tmp_path), 0) == (0, "")


def test_tables_of_the_data_command(tmp_path: Path) -> None:
    environment, faces = plain_environment(tmp_path), str(tmp_path / "faces")
    sizes = ["--train", "1", "--validation", "1", "--test", "1"]
    assert read_one_line([*starter("fer-data"), "synth", "--to", faces, *sizes, "--quiet"], environment, 0) == (0, "")
    assert read_one_line([*starter("fer-data"), "audit", "--data", faces], environment, 0) == (0, "")


def test_table_of_the_benchmark(tmp_path: Path) -> None:
    short = ["--seconds", "0.05", "--processes", "1", "--no-accuracy"]
    code, err = read_one_line([*starter("fer-bench"), *short], plain_environment(tmp_path), 0)
    assert code == 0
    assert "BrokenPipe" not in err
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", [False, True])
def test_lines_for_a_full_disk_are_one_error(long_video: Path, tmp_path: Path, unbuffered: bool) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CAMERA, "--source", str(long_video), *FAKE, "--quiet", "--jsonl", "-"], stdout=full,
            stderr=subprocess.PIPE, text=True, env=plain_environment(tmp_path, unbuffered=unbuffered), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "fer-camera: error: output JSON lines stopped: No space left on device\n"


@pytest.mark.parametrize("unbuffered", [False, True])
def test_what_run_command_runs(tmp_path: Path, unbuffered: bool) -> None:
    command = [sys.executable, "-c", PRINTERS]
    assert read_one_line(command, plain_environment(tmp_path, unbuffered=unbuffered)) == (0, "")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CAMERA, "--print-config"], stdout=full, stderr=subprocess.PIPE, text=True,
            env=plain_environment(tmp_path), check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "fer-camera: error: No space left on device\n"


def test_nobody_reads_standard_error(long_video: Path, tmp_path: Path) -> None:
    """``2>&1 | head -1`` must not lose the recording: notices go nowhere then, results where they belong."""
    saved = tmp_path / "t.jsonl"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        done = subprocess.run(
            [*CAMERA, "--source", str(long_video), *FAKE, "--max-frames", "20", "--jsonl", str(saved)],
            stdout=subprocess.DEVNULL, stderr=broken, env=plain_environment(tmp_path), check=False,
        )  # fmt: skip
    assert done.returncode == 0
    assert len(saved.read_text().splitlines()) == 20


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(closed: str, long_video: Path, tmp_path: Path) -> None:
    saved = tmp_path / "t.jsonl"
    line = f'"$@" {closed}'
    arguments = [*CAMERA, "--source", str(long_video), *FAKE, "--max-frames", "5", "--jsonl", str(saved)]
    done = subprocess.run(
        ["sh", "-c", line, "sh", *arguments], capture_output=True, text=True,
        env=plain_environment(tmp_path), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(saved.read_text().splitlines()) == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_json_lines_reach_the_reader_of_a_named_pipe(tmp_path: Path, video: Path) -> None:
    # The reader waits in its own open(): whoever then opens the pipe for reading, only to look, waits for ever, too.
    pipe = tmp_path / "lines"
    os.mkfifo(pipe)
    command = [*CAMERA, str(video), *FAKE, "--quiet", "--max-frames", "2", "--jsonl", str(pipe)]
    with (
        subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader,
        subprocess.Popen(command, env=plain_environment(tmp_path)) as camera,
    ):
        try:
            assert camera.wait(20) == 0
            assert len(reader.communicate(timeout=5)[0].splitlines()) == 2
        finally:
            reader.kill()
            camera.kill()


@pytest.mark.parametrize("name", [*MODULES])
@pytest.mark.parametrize("closed", ["1", "2", "both"])
def test_a_closed_stream_is_no_traceback(name: str, closed: str, tmp_path: Path) -> None:
    script = '"$@" ' + {"1": ">&-", "2": "2>&-", "both": ">&- 2>&-"}[closed]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *starter(name), "--version"],
        capture_output=True, text=True, env=plain_environment(tmp_path), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == "2")


def test_with_standard_output_closed_no_file_gets_its_number(tmp_path: Path) -> None:
    code = (
        "import os, sys; from fer_edge.command import run_command\n"
        f"body = lambda: (open({str(tmp_path / 'ours')!r}, 'w').fileno() == 1) + 2 * (sys.stdout.write('x') != 1)\n"
        "sys.exit(run_command('x', body))"
    )
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", code],
        capture_output=True, text=True, env=plain_environment(tmp_path), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", [*MODULES])
def test_help_on_a_full_disk_says_so(name: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*starter(name), "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
            env=plain_environment(tmp_path), check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, f"{name}: error: No space left on device\n")


@pytest.fixture
def piped() -> Iterator[Callable[[bytes], str]]:
    """``piped(content)``: the name of a pipe through which a thread sends ``content``."""
    threads: list[threading.Thread] = []
    ends: list[int] = []

    def send(content: bytes) -> str:
        reading, writing = os.pipe()
        ends.append(reading)

        def fill() -> None:
            with contextlib.suppress(OSError), open(writing, "wb") as target:  # noqa: PTH123
                target.write(content)

        threads.append(threading.Thread(target=fill))
        threads[-1].start()
        return f"/dev/fd/{reading}"

    yield send
    for end in ends:
        os.close(end)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("name", ["film.mpg", "film.mkv", "film.mp4", "film.avi"])
def test_films_through_a_pipe(tmp_path: Path, name: str, piped: Callable[[bytes], str]) -> None:
    pictures = [corners()] * 12
    codec = {"film.mpg": "mpg1", "film.avi": "MJPG"}.get(name, "mp4v")
    path = film(tmp_path / name, pictures, codec, 25.0)
    if name == "film.mp4":  # the one with its table of contents at the end, and so the one that says which way up
        set_matrix(path, 5)
    frames = list(open_source(piped(path.read_bytes()), CaptureOptions(orientation=3)).frames())
    assert len(frames) == 12
    assert alike(frames[0].image, AS_SEEN[combine(5 if name == "film.mp4" else 1, 3)](corners()))
    looped = open_source(piped(path.read_bytes()), CaptureOptions(loop=True)).frames()
    assert len(list(itertools.islice(looped, 30))) == 30


def test_pictures_through_a_pipe_and_what_is_none(
    piped: Callable[[bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_source(piped(jpeg(corners(), 6)))
    [frame] = source.frames()
    assert alike(frame.image, AS_SEEN[6](corners()))
    assert not source.continuous
    for content, reason in ((b"", "is empty"), (b"hello", "cannot be read as a video"), (b"%PDF-1.7", "is PDF")):
        name = piped(content)
        with pytest.raises(SourceError, match=f"^{name}.*{reason}"):
            open_source(name)
    del source
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_standard_input_as_a_source(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mpg", [corners()] * 12, "mpg1", 25.0).read_bytes()
    run = [*CAMERA, "-", *FAKE, "--jsonl", str(tmp_path / "out.jsonl")]
    done = subprocess.run(run, check=False, input=content, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "12 frames" in done.stderr.decode()
    done = subprocess.run(run, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, b"standard input is empty" in done.stderr) == (2, True)


def test_a_pipe_in_a_folder_is_left_alone(tmp_path: Path) -> None:
    """Whoever opens it waits for its writer."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "one.jpg").write_bytes(jpeg(corners(), None))
    assert len(list(open_source(tmp_path).frames())) == 1
    [job] = plan([str(tmp_path)], CaptureOptions())
    assert job.files == (tmp_path / "one.jpg",)
