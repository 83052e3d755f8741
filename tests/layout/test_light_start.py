"""Help, versions and errors cost next to nothing: no numpy, no OpenCV, no framework is loaded for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import fer_edge

HEAVY = (
    "numpy", "cv2", "ai_edge_litert", "tflite_runtime", "onnxruntime", "onnx", "tensorflow", "keras", "tf_keras",
    "torch", "jax", "rich", "matplotlib", "psutil", "sklearn", "pyarrow", "pandas", "distributed", "fsspec",
)  # fmt: skip
COMMANDS = {
    point.name: point.value.replace(":", " import ")
    for point in metadata.entry_points(group="console_scripts")
    if point.value.startswith("fer_")
}
HELPS = [[name] for name in sorted(COMMANDS)] + [
    ["fer-data", "import"],
    ["fer-data", "audit"],
    ["fer-data", "synth"],
    *(["fer-train", part] for part in ("ablation", "average", "calibrate", "speed", "teach")),
    ["fer-export", "release"],
    ["fer-bench", "compare"],
    ["fer-bench", "robustness"],
    ["fer-bench", "demo"],
]
LOADED = f"""
import json, sys
sys.stdout.flush()
sys.stderr.write(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def child(code: str) -> tuple[str, list[str]]:
    """Standard output of ``code`` in a fresh interpreter, and which heavy packages it ended with."""
    done = subprocess.run([sys.executable, "-c", code + LOADED], capture_output=True, text=True, check=True)
    loaded: list[str] = json.loads(done.stderr)
    return done.stdout, loaded


def command(name: str, *arguments: str) -> str:
    """Code that runs the command's entry point, which ends with :class:`SystemExit` for help."""
    return f"""
import sys
from {COMMANDS[name]} as main
sys.argv = {[name, *arguments]!r}
try:
    code = main()
except SystemExit as ending:
    code = ending.code
assert not code, code
"""


def test_all_six_commands_are_here() -> None:
    assert sorted(COMMANDS) == ["fer-analyze", "fer-bench", "fer-camera", "fer-data", "fer-export", "fer-train"]


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_loads_nothing_heavy_and_reads_well(words: list[str]) -> None:
    out, loaded = child(command(*words, "--help"))
    assert loaded == []
    assert out.startswith(f"usage: {' '.join(words)}")
    for blemish in ("%%", "(default: False)", "(default: None)", "(required) (default", "``", "==SUPPRESS=="):
        assert blemish not in out
    assert len(words) > 1 or "--version" in out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_version_is_of_one_form_and_loads_nothing_heavy(name: str) -> None:
    out, loaded = child(command(name, "--version"))
    first, python, *packages = out.splitlines()
    assert loaded == []
    assert first.split(" (")[0] == f"{name} {fer_edge.__version__}"
    assert python.startswith("Python 3.")
    assert f"numpy {metadata.version('numpy')}" in packages


@pytest.mark.parametrize("module", ["fer_edge", "fer_edge.errors", "fer_edge.command", "fer_edge.versions"])
def test_these_modules_are_light(module: str) -> None:
    assert child(f"import {module}")[1] == []


@pytest.mark.parametrize(
    ("module", "name"), [("fer_edge", "fer-camera"), ("fer_export", "fer-export"), ("fer_bench", "fer-bench")]
)
def test_a_package_runs_as_its_command(module: str, name: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--no-such"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: error: unknown argument --no-such")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_usage_error_is_found_before_anything_heavy_is_loaded(name: str) -> None:
    code = f"import sys\nsys.argv = [{name!r}, '--no-such-option']\nfrom {COMMANDS[name]} as main\nassert main() == 2\n"
    done = subprocess.run([sys.executable, "-c", code + LOADED], capture_output=True, text=True, check=True)
    line, loaded = done.stderr.splitlines()
    assert line.startswith(f"{name}: error: ")
    assert json.loads(loaded) == []


def cpu_seconds(bytecode: Path, *arguments: str) -> float:
    """Processor time of a run: on a busy machine, wall time says more about the others."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)  # compiled once, as where a user may write
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="no wait4 on this system")
def test_the_help_of_fer_camera_comes_at_once(tmp_path: Path) -> None:
    # Python alone and the help in turn: other programs that empty the caches then slow both.
    pairs = [(cpu_seconds(tmp_path, "-c", "pass"), cpu_seconds(tmp_path, "-m", "fer_edge", "--help")) for _ in range(7)]
    assert any(with_help < max(0.2, 8 * bare) for bare, with_help in pairs), pairs


def test_every_public_name_resolves_and_is_listed() -> None:
    assert set(fer_edge.__all__) <= set(dir(fer_edge))
    for name in fer_edge.__all__:
        assert getattr(fer_edge, name) is getattr(fer_edge, name)
    out, loaded = child("from fer_edge import *\nprint(open_classifier.__module__, Face.__name__, len(EMOTIONS))")
    assert out.split() == ["fer_edge.loading.open", "Face", "7"]
    assert "cv2" in loaded  # so what the other tests look for can be found


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fer_edge.nothing


INTERRUPT = """
import importlib, os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == MODULE:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    pass
            except KeyboardInterrupt:
                if LOST:  # as in numpy's C extensions
                    raise ImportError("could not import")
                raise

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here, as in the background of a shell
sys.meta_path.insert(0, Interrupt())
function = getattr(importlib.import_module("fer_edge.start"), FUNCTION)
sys.argv = [FUNCTION, "--version"]
sys.exit(function())
"""


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_interrupt_while_modules_are_imported_is_one_line(name: str, lost: bool) -> None:
    function = name.replace("-", "_")
    packages = {"fer-analyze": "fer_edge.analysis", "fer-camera": "fer_edge.app", "fer-data": "fer_train"}
    first = packages.get(name, function)
    for module in (first, "fer_edge.command"):
        code = f"MODULE, LOST, FUNCTION = {module!r}, {lost}, {function!r}" + INTERRUPT
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{name}: interrupted\n"), module


def test_every_command_starts_where_interrupts_are_caught() -> None:
    assert set(COMMANDS.values()) == {f"fer_edge.start import {name.replace('-', '_')}" for name in COMMANDS}
    from fer_edge import command, start

    assert start._INTERRUPTED == command.EXIT_INTERRUPTED


@pytest.mark.parametrize("package", ["fer_edge", "fer_train"])
def test_packages_with_a_command_run_as_modules(package: str) -> None:
    done = subprocess.run([sys.executable, "-m", package, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("usage: fer-"), done.stderr
