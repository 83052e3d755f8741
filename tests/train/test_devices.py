"""Several devices and hosts: refused usage quickly, and the same loss curve as on one device (slow)."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from fer_train.commands.train import main
from fer_train.training.devices import Devices, Hosts, hosts_from, open_devices

DEADLINE_S = 1200
TOLERANCE = 1e-3
"""Relative, of the losses: float32 sums in another order, amplified by a few steps of training."""


def test_hosts_come_from_options_or_from_the_environment_of_keras() -> None:
    assert hosts_from({}, {}) == Hosts()
    given = {"coordinator": "10.0.0.1:1234", "num_hosts": 3, "host_id": 2}
    assert hosts_from(given, {}) == Hosts("10.0.0.1:1234", 3, 2)
    environment = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "3",
        "KERAS_DISTRIBUTION_PROCESS_ID": "0",
    }
    assert hosts_from({}, environment) == Hosts("10.0.0.1:1234", 3, 0)
    assert hosts_from({"host_id": 1}, environment).number == 1
    assert [Devices(hosts=Hosts("a:1", 3, i)).part for i in range(3)] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coordinator": "a:1"}, "together"),
        ({"host_id": 0, "num_hosts": 2}, "together"),
        ({"coordinator": "a:1", "num_hosts": 2, "host_id": 2}, "counts from 0"),
        ({"coordinator": "a", "num_hosts": 2, "host_id": 0}, "ADDRESS:PORT"),
    ],
)
def test_half_described_hosts_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        hosts_from(options, {})
    with pytest.raises(UsageError, match="whole number"):
        hosts_from({}, {"KERAS_DISTRIBUTION_NUM_PROCESSES": "two"})


def test_devices_that_cannot_be_had_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_devices(None, Hosts()) == Devices()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    for wanted, hosts, words in (
        ("all", Hosts(), "KERAS_BACKEND=jax"),
        ("0", Hosts(), "a number"),
        ("some", Hosts(), "a number"),
        ("2", Hosts("a:1", 2, 0), "all their devices"),
    ):
        with pytest.raises(UsageError, match=words):
            open_devices(wanted, hosts)


def test_wrong_devices_are_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    arguments = ["--run", str(tmp_path / "r"), "--data", str(tmp_path), "--devices", "all"]
    assert main(arguments) == 2
    assert "KERAS_BACKEND=jax" in capsys.readouterr().err
    assert main([*arguments, "--host-id", "1"]) == 2
    assert "--coordinator" in capsys.readouterr().err


# The float stage itself, with EMA, mixing, erasing, BatchNorm and dropout, on a network that XLA compiles in seconds.
STAGE = """
import dataclasses, json, sys
from pathlib import Path
from fer_train.training.devices import Hosts, open_devices
run, devices, address, count, number = sys.argv[1:]
opened = open_devices(devices or None, Hosts(address or None, int(count), int(number)))
from fer_train.training import float_stage as fit
from fer_train.runs.run_folder import RunFolder
from tests.train.test_stages import RECIPE, small_network, training_data
from fer_train.runs import network_of
network_of.build_network = small_network
folder = RunFolder(Path(run))
folder.root.mkdir(exist_ok=True)
recipe = dataclasses.replace(RECIPE, epochs=3, head_epochs=0, mixup=0.2)
stage = fit.FloatStage(recipe, training_data(), folder, opened)
stage.run(resume=False)
stage.finish()
print(json.dumps([[row.loss, row.val_loss] for row in stage.history]))
"""


def start(
    run: Path, visible: int, devices: str = "", address: str = "", count: int = 1, number: int = 0
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={visible}",
    }
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, str(run), devices, address, str(count), str(number)],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def curve(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    """``(loss, validation loss)`` by epoch, once the process has ended well."""
    output = process.communicate(timeout=DEADLINE_S)[0]
    assert process.returncode == 0, output[-3000:]
    return [(loss, validation) for loss, validation in json.loads(output.strip().splitlines()[-1])]


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "tensorflow")),
    reason="JAX (extra jax) and TensorFlow are not installed",
)
def test_two_devices_and_two_hosts_train_like_one_device(tmp_path: Path) -> None:
    one = curve(start(tmp_path / "one", 1))
    assert len(one) == 3
    two = curve(start(tmp_path / "two", 2, "all"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    hosts = [curve(p) for p in [start(tmp_path / "hosts", 1, "all", address, 2, number) for number in range(2)]]
    print("one device", one, "two devices", two, "two hosts", *hosts, sep="\n")
    for other in (two, *hosts):
        for expected, found in zip(one, other, strict=True):
            assert found == pytest.approx(expected, rel=TOLERANCE)
    assert one[0] != one[1]  # it moves, so that equality says something
    with (tmp_path / "hosts/metrics.csv").open() as handle:  # written by host 0 alone
        assert [float(row["loss"]) for row in csv.DictReader(handle)] == [loss for loss, _ in hosts[0]]
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]
