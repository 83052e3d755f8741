"""``fer-analyze --dask``: a cluster of two workers, one of them killed; files at an address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from tests.edge.analyze_runs import analyze, command, plain, tree

import fer_edge

pytest.importorskip("pyarrow", reason="the extra table is not installed")
pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytestmark = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
DASK = Path(sys.executable).parent / "dask"
Cluster = tuple[str, list[subprocess.Popen[bytes]]]


@pytest.fixture
def clips(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    (tmp_path / "clips").mkdir()
    for number in range(8):
        make_video(tmp_path / "clips" / f"{number}.avi", 30 + number)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    return tmp_path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, started as the how-to says."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    environment = plain(tmp_path)
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        with (folder / f"{len(processes)}.log").open("wb") as log:
            processes.append(subprocess.Popen([DASK, *arguments], cwd=folder, env=environment, stdout=log, stderr=log))

    start("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")
    for _ in range(2):
        start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60")
    try:
        _wait_for_workers(address, 2)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait_for_workers(address: str, number: int) -> None:
    code = (
        "import sys; from distributed import Client\n"
        f"with Client({address!r}, timeout=60) as client: client.wait_for_workers({number}, timeout=60)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_no_byte(clips: Path, cluster: Cluster, tmp_path: Path) -> None:
    address, workers = cluster
    arguments = command("clips", "--out", "spread", "--dask", address)
    process = subprocess.Popen(arguments, cwd=clips, env=plain(tmp_path), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while len(list(clips.glob("spread/files/*/done.json"))) < 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    killed_at = len(list(clips.glob("spread/files/*/done.json")))
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1 and "8 files analyzed, 0 unchanged, 1 broken" in said, said
    assert killed_at < 8, "it was not in the middle"
    single = analyze(clips, tmp_path, "clips", "--out", "single", "--workers", "1")
    assert single.returncode == 1, single.stderr
    assert tree(clips / "spread") == tree(clips / "single")
    again = analyze(clips, tmp_path, "clips", "--out", "single", "--dask", address)
    assert "0 files analyzed, 8 unchanged, 1 broken" in again.stderr


@pytest.mark.slow
def test_no_scheduler_is_one_line(clips: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address, answer, code in (
        (f"tcp://127.0.0.1:{port}", "no Dask scheduler answers at", 3),
        ("ftp://here:8786", "is no address of a scheduler", 2),
        ("scheduler", "is no address of a scheduler", 2),
    ):
        done = analyze(clips, tmp_path, "clips", "--out", "out", "--dask", address)
        assert done.returncode == code and answer in done.stderr.splitlines()[-1], done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server on this machine; the result is the environment that leads to it."""
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield environment
    server.stop()


def _fill(folder: Path) -> None:
    import boto3  # comes with moto

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket="films")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), "films", f"day 1/{path.name}")


@pytest.mark.slow
def test_files_at_an_address_give_the_rows_of_local_ones(clips: Path, bucket: dict[str, str], tmp_path: Path) -> None:
    import pandas as pd

    for number in range(2, 8):
        (clips / "clips" / f"{number}.avi").unlink()
    (clips / "clips" / "notes.txt").write_text("seen at noon")
    _fill(clips / "clips")
    local = analyze(clips, tmp_path, "clips", "--out", "local")
    assert local.returncode == 1, local.stderr
    done = analyze(clips, tmp_path, "s3://films/day 1/", "--out", "remote", **bucket)
    assert done.returncode == 1, done.stderr
    assert "notes.txt" in done.stderr and "2 files analyzed, 0 unchanged, 1 broken" in done.stderr
    ours, theirs = (fer_edge.read_table(clips / name) for name in ("local", "remote"))
    assert theirs.file.unique().tolist() == ["s3://films/day 1/0.avi", "s3://films/day 1/1.avi"]
    pd.testing.assert_frame_equal(ours.drop(columns="file"), theirs.drop(columns="file"))
    again = analyze(clips, tmp_path, "s3://films/day 1/?.avi", "--out", "remote", **bucket)
    assert again.returncode == 0 and "0 files analyzed, 2 unchanged, 0 broken" in again.stderr, again.stderr
    missing = analyze(clips, tmp_path, "s3://films/nothing.avi", "--out", "remote", **bucket)
    assert missing.returncode == 2 and "there is nothing at s3://films/nothing.avi" in missing.stderr, missing.stderr
    no_bucket = analyze(clips, tmp_path, "s3://none/", "--out", "remote", **bucket)
    assert no_bucket.returncode == 2 and "Traceback" not in no_bucket.stderr, no_bucket.stderr
