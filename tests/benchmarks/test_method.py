"""Is the method right? fer-bench against a plain timing loop, and the classifier against the bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_bench.measure.worker_client import Contender, Remote
from fer_edge.errors import ModelError
from fer_edge.inference.tensors import to_model_input
from fer_edge.loading.model_files import find_model
from fer_edge.loading.open import open_classifier

ATTEMPTS = 4
"""Other work on the machine may spoil a comparison of timings, never make a wrong method pass four times over."""

PLAIN_LOOP = """
import statistics, sys, time
import numpy as np
if sys.argv[1].endswith(".onnx"):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    face = np.zeros(session.get_inputs()[0].shape, np.float32)
    run = lambda: session.run(None, {"input": face})
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    entry, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    face = np.zeros(entry["shape"], entry["dtype"])
    def run():
        interpreter.set_tensor(entry["index"], face)
        interpreter.invoke()
        return interpreter.get_tensor(leave["index"])
sys.stderr.close()
for line in sys.stdin:
    times = []
    until = time.perf_counter() + float(line)
    while time.perf_counter() < until:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    print(1000 * statistics.median(times), flush=True)
"""


def models() -> list[str]:
    """The committed INT8 model where there is one, and a model made for the test."""
    try:
        return ["made", str(find_model())]
    except ModelError:
        return ["made"]


def ratio_of_turns(first: Callable[[], float], second: Callable[[], float], turns: int) -> float:
    """Median over turns of ``first`` over ``second``, called one after the other in changing order."""
    ratios = []
    for turn in range(turns):
        if turn % 2:
            a, b = first(), second()
        else:
            b, a = second(), first()
        ratios.append(a / b)
    return statistics.median(ratios)


def bench_over_loop(path: Path, loop_path: Path) -> float:
    """fer-bench's p50 of one model over a plain loop's of another (or the same), by turns."""
    command = [sys.executable, "-c", PLAIN_LOOP, str(loop_path)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as plain,
        Remote(Contender(path, "onnx" if path.suffix == ".onnx" else "litert")) as remote,
    ):

        def loop() -> float:
            assert plain.stdin is not None
            assert plain.stdout is not None
            plain.stdin.write(b"0.04\n")
            plain.stdin.flush()
            return float(plain.stdout.readline())

        def bench() -> float:
            return float(np.median(remote.time("infer", 0.04, 3, 2).samples_ms))

        for _ in range(3):  # warm-up of both
            loop(), bench()
        ratio = ratio_of_turns(bench, loop, 24)
        assert plain.stdin is not None
        plain.stdin.close()
    return ratio


def agrees(ratio: float) -> bool:
    """The contender: within 3 %."""
    return abs(ratio - 1) <= 0.03


@pytest.mark.parametrize("model", models())
def test_p50_is_that_of_a_plain_loop(model: str, slower_onnx: Path) -> None:
    path = slower_onnx if model == "made" else Path(model)
    ratios = []
    for _ in range(ATTEMPTS):
        ratios.append(bench_over_loop(path, path))
        if agrees(ratios[-1]):
            return
    pytest.fail(f"fer-bench's p50 over a plain loop's: {ratios}")


def test_the_comparison_tells_another_model(tiny_onnx: Path, slower_onnx: Path) -> None:
    assert not agrees(bench_over_loop(tiny_onnx, slower_onnx))


@pytest.mark.parametrize(("off_by", "passes"), [(0.0, True), (0.05, False), (-0.05, False)])
def test_five_percent_off_is_seen_on_a_machine_whose_speed_wanders(off_by: float, passes: bool) -> None:
    rng = np.random.default_rng(0)
    speed, calls = 1.0, 0

    def timed(factor: float) -> float:
        nonlocal speed, calls
        if calls % 2 == 0:  # both sides of a turn see about the same machine, the next turn another one
            speed = float(rng.uniform(0.7, 1.5))
        calls += 1
        return factor * speed * float(rng.normal(1.0, 0.02))

    assert agrees(ratio_of_turns(lambda: timed(1 + off_by), lambda: timed(1.0), 24)) == passes


def test_the_classifier_costs_at_most_5_percent_around_the_bare_interpreter() -> None:
    try:
        path = find_model()
    except ModelError:
        pytest.skip("models/fer_int8.tflite is not committed yet")
    classifier = open_classifier(path)
    face = np.random.default_rng(0).integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
    interpreter = classifier._interpreter  # type: ignore[attr-defined]
    classifier.infer(to_model_input(face, classifier.input_spec))

    class Idle:
        """All of the interpreter but the network, so that what is around it is timed by itself."""

        set_tensor, get_tensor = interpreter.set_tensor, interpreter.get_tensor

        def invoke(self) -> None:
            pass

    def fastest_s(call: Callable[[], object]) -> float:
        """What others on the machine add is left out: it is no cost of the classifier's."""
        times = []
        for _ in range(400):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        return min(times)

    network_s = fastest_s(interpreter.invoke)
    classifier._interpreter = Idle()  # type: ignore[attr-defined]
    around_s = fastest_s(lambda: classifier.predict(face))
    assert around_s <= 0.05 * network_s, f"{1e6 * around_s:.0f} us around {1e6 * network_s:.0f} us of the network"
