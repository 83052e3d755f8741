"""The device side on every supported Python, OpenCV, numpy and runtime: really installed, really run.

    python tests/reliability/matrix.py --markdown out/platforms.md
    python tests/reliability/matrix.py --only py310-lowest --only py313-highest --tests tests/edge/test_verify.py

Each cell is an environment of its own, made by uv in ``--work``: this checkout's wheel with the base dependencies
(lowest or highest versions that ``pyproject.toml`` allows, or those named), the extras for web page and MQTT, pytest.
``--tests`` (default: ``tests/edge``) run in it, and the golden vectors. A Python that is neither installed nor can be
downloaded is reported as not run, never as passed. Exit 1 when a cell fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final[Path] = Path(__file__).parents[2]
TIMEOUT_S: Final[int] = 1800
SHOWN: Final[tuple[str, ...]] = ("numpy", "opencv-python", "ai-edge-litert", "tflite-runtime", "onnxruntime")


@dataclass(frozen=True)
class Cell:
    """One environment."""

    name: str
    python: str
    wanted: tuple[str, ...] = ()
    """Requirements beside the project's own."""
    resolution: str = "highest"
    base: bool = True
    """False: without the project's base dependencies, for the runtime that replaces LiteRT."""


CELLS: Final[tuple[Cell, ...]] = (
    *(
        Cell(f"py{version.replace('.', '')}-{resolution}", version, resolution=resolution)
        for version in ("3.10", "3.11", "3.12", "3.13")
        for resolution in ("lowest-direct", "highest")
    ),
    Cell("py311-numpy1", "3.11", ("numpy==1.26.4", "opencv-python<4.12")),
    Cell("py312-numpy1", "3.12", ("numpy==1.26.4", "opencv-python<4.12")),
    # The base dependencies stop at OpenCV 4, whose Haar cascades OpenCV 5 lacks; users may have 5 all the same.
    Cell("py311-opencv5", "3.11", ("numpy", "ai-edge-litert", "opencv-python>=5"), base=False),
    Cell("py313-opencv5", "3.13", ("numpy", "ai-edge-litert", "opencv-python>=5"), base=False),
    Cell("py310-tflite-runtime", "3.10", ("-r", "edge/requirements-tflite-runtime.txt"), base=False),
    Cell("py311-tflite-runtime", "3.11", ("-r", "edge/requirements-tflite-runtime.txt"), base=False),
    Cell("py311-onnx-lowest", "3.11", ("onnxruntime",), resolution="lowest-direct"),
    Cell("py313-onnx-highest", "3.13", ("onnxruntime",)),
)


@dataclass
class Outcome:
    """What became of a cell."""

    cell: str
    python: str
    packages: dict[str, str]
    status: str
    """``passed``, ``failed``, or ``not run`` with the reason in ``detail``."""
    detail: str
    verified: str
    """The golden vectors: ``exact``, ``failed``, or ``-``."""
    seconds: float


class StepError(Exception):
    """A step of a cell could not be carried out."""


def run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A finished process; :class:`StepError` when it takes too long."""
    try:
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"not done after {TIMEOUT_S} s") from error


def uv(*arguments: str) -> str:
    """Standard output of uv; its last line in a :class:`StepError`."""
    done = run([sys.executable, "-m", "uv", *arguments], CHECKOUT)
    if done.returncode != 0:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise StepError(said[-1].strip() if said else "uv failed")
    return done.stdout.strip()


def find_python(version: str) -> str:
    """An interpreter: installed, from pyenv, or downloaded by uv. Raises :class:`StepError` when there is none."""
    for path in sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")):
        return str(path)
    try:
        return uv("python", "find", "--no-project", version)
    except StepError as error:
        raise StepError(f"no Python {version} here, and none to download ({error})") from error


def build_wheel(work: Path) -> Path:
    """This checkout, as users get it."""
    folder = work / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    done = run(command, CHECKOUT)
    if done.returncode != 0:
        raise StepError(f"the wheel cannot be built: {done.stderr.strip().splitlines()[-1:]}")
    return next(folder.glob("*.whl"))


def run_cell(cell: Cell, wheel: Path, work: Path, tests: list[str]) -> Outcome:
    """Make the environment, run the tests and the golden vectors in it."""
    began = time.monotonic()
    outcome = Outcome(cell.name, cell.python, {}, "not run", "", "-", 0.0)
    try:
        folder = work / cell.name
        uv("venv", "-q", "--clear", "--python", find_python(cell.python), str(folder))
        python = str(folder / "bin" / "python")
        install = ["pip", "install", "-q", "--python", python]
        if cell.base:
            # From pyproject.toml, not from the wheel: only so are they direct requirements, whose lowest is meant.
            chosen = ["--resolution", cell.resolution, "--only-binary", ":all:", "-r", "pyproject.toml"]
            uv(*install, *chosen, "--extra", "web", "--extra", "mqtt", *_bounded(cell))
            uv(*install, "--no-deps", str(wheel))
        else:
            uv(*install, *cell.wanted)
            uv(*install, "--no-deps", str(wheel))
            uv(*install, "starlette>=0.40", "uvicorn>=0.30", "paho-mqtt>=2.0")
        uv(*install, "pytest>=8", "hypothesis>=6.100")
        listed = json.loads(uv("pip", "list", "--python", python, "--format", "json"))
        found = {item["name"].lower(): item["version"] for item in listed}
        outcome.packages = {name: found[name] for name in SHOWN if name in found}
        _test(outcome, python, tests)
    except StepError as error:
        outcome.detail = str(error)
    outcome.seconds = time.monotonic() - began
    return outcome


def _bounded(cell: Cell) -> list[str]:
    """``onnxruntime`` with the lower bound of the extra that asks for it."""
    if "onnxruntime" not in cell.wanted:
        return list(cell.wanted)
    bound = re.search(r'"(onnxruntime[^"]*)"', (CHECKOUT / "pyproject.toml").read_text())
    assert bound is not None
    return [bound.group(1)]


def _test(outcome: Outcome, python: str, tests: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(CHECKOUT)  # for `tests.edge.conftest`; the packages come from the wheel
    # The project's own options would look for plugins of the development environment; slow tests make environments.
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not hardware and not slow"]
    done = run([python, "-m", "pytest", *options, *tests], CHECKOUT, environment)
    said = [line for line in done.stdout.strip().splitlines() if line.strip()]
    outcome.detail = said[-1].strip("= ") if said else done.stderr.strip()[-200:]
    (CHECKOUT / "out").mkdir(exist_ok=True)  # where no package of ours lies
    verified = run([python, "-P", "-m", "fer_edge", "--verify"] if _safe_path(outcome) else
                   [python, "-m", "fer_edge", "--verify"], CHECKOUT / "out", environment)  # fmt: skip
    outcome.verified = "exact" if verified.returncode == 0 else f"failed ({verified.returncode})"
    outcome.status = "passed" if done.returncode == 0 and verified.returncode == 0 else "failed"
    if outcome.status == "failed":
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        outcome.detail += "".join(f"; {line}" for line in failed[:10])
        if verified.returncode != 0:
            outcome.detail += f"; verify: {(verified.stderr.strip().splitlines() or ['no message'])[-1]}"


def _safe_path(outcome: Outcome) -> bool:
    """Python 3.11 and newer can leave the current folder out of the search path."""
    return tuple(map(int, outcome.python.split("."))) >= (3, 11)


def markdown(outcomes: list[Outcome]) -> str:
    """The table of docs/platforms.md."""
    lines = [
        "| cell | Python | numpy | OpenCV | runtime | tests | golden vectors | s |",
        "| --- | --- | --- | --- | --- | --- | --- | ---: |",
    ]
    for one in outcomes:
        runtimes = [f"{name} {one.packages[name]}" for name in SHOWN[2:] if name in one.packages]
        lines.append(
            f"| {one.cell} | {one.python} | {one.packages.get('numpy', '-')} | "
            f"{one.packages.get('opencv-python', '-')} | {', '.join(runtimes) or '-'} | "
            f"{one.status}: {one.detail.replace('|', '/')} | {one.verified} | {one.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the cells one after the other, print and write the table."""
    parser = argparse.ArgumentParser(description="Run the device-side tests on every supported combination.")
    parser.add_argument("--only", action="append", choices=[cell.name for cell in CELLS], help="only this cell")
    parser.add_argument("--tests", action="append", metavar="PATH", help="what to run (tests/edge); repeat for more")
    parser.add_argument("--work", type=Path, default=CHECKOUT / "out" / "matrix", help="for the environments")
    parser.add_argument("--markdown", type=Path, metavar="F", help="write the table")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        wheel = build_wheel(options.work.resolve())
    except StepError as error:
        sys.stderr.write(f"matrix.py: error: {error}\n")
        return 2
    outcomes = []
    for cell in CELLS:
        if options.only and cell.name not in options.only:
            continue
        outcomes.append(run_cell(cell, wheel, options.work.resolve(), options.tests or ["tests/edge"]))
        sys.stderr.write(f"{cell.name}: {outcomes[-1].status}: {outcomes[-1].detail}\n")
        if options.markdown:  # after each, so that an interrupted run leaves what it has
            options.markdown.parent.mkdir(parents=True, exist_ok=True)
            options.markdown.write_text(markdown(outcomes))
    sys.stdout.write(markdown(outcomes))
    return 1 if any(one.status == "failed" for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
