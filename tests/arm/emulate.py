"""Arm without a board: the project's wheel on emulated Cortex-A72, A76 and 32-bit Arm, against this machine.

    python tests/arm/emulate.py [--model M] [--detector-model YUNET.onnx] [--work out/arm]

From nothing: Debian userlands for arm64 and armhf (mmdebstrap, unpacked only), the project's own wheel with its Arm
dependencies, then ``fer-camera --verify`` and checksums of preprocessing and INT8 outputs under qemu. Everything up to
the final SOFTMAX must be identical to this machine, bit by bit, and the outputs within a step of 1/256. The face
detector's INT8 file, which each device writes for itself, its maps and its faces must be identical altogether. It shows
results, never speed. Debian or Ubuntu as the host:

    apt-get install qemu-user-static mmdebstrap debian-archive-keyring

Exit 0: identical; 1: something differs; 2: a step could not be carried out; 3: a tool is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import FerError
from fer_edge.faces.yunet_file import YUNET, yunet_file

HERE: Final[Path] = Path(__file__).parent
CHECKOUT: Final[Path] = HERE.parents[1]
CHECK: Final[Path] = HERE / "check_here.py"
_PYTHON_PACKAGES: Final[tuple[str, ...]] = ("base-files", "python3-minimal", "libpython3-stdlib", "libstdc++6")
RUN_TIMEOUT_S: Final[int] = 1200
MAX_SOFTMAX_STEPS: Final[int] = 1
"""The network up to SOFTMAX must be identical. SOFTMAX computes with floats inside, and its last rounding differs
between x86 and Arm now and then: by one step of 1/256 in one of 64 golden vectors of the shipped model."""


@dataclass(frozen=True)
class Cpu:
    """An emulated processor, and what its ``/proc/cpuinfo`` must say (ai-edge-litert reads it and needs the part)."""

    name: str
    part: str
    features: str


A72 = Cpu("cortex-a72", "0xd08", "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid")
A76 = Cpu("cortex-a76", "0xd0b", "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp")
A15 = Cpu("cortex-a15", "0xc0f", "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae")


@dataclass(frozen=True)
class Guest:
    """A Debian userland with a Python and a TFLite runtime."""

    name: str
    suite: str
    architecture: str
    python: str
    emulator: str
    packages: tuple[str, ...]
    cpus: tuple[Cpu, ...]
    reference_kernels: bool = False
    """tflite-runtime on 32-bit Arm computes with TFLite's reference kernels, so it is compared with those."""


GUESTS: Final[tuple[Guest, ...]] = (
    Guest("arm64-py311", "bookworm", "arm64", "3.11", "qemu-aarch64-static", ("libgl1", "libglib2.0-0"), (A72, A76)),
    Guest("arm64-py313", "trixie", "arm64", "3.13", "qemu-aarch64-static", ("libgl1", "libglib2.0-0t64"), (A72, A76)),
    # PyPI has neither numpy < 2 nor OpenCV for 32-bit Arm: Debian's own, as edge/requirements-tflite-runtime.txt says.
    Guest(
        "armhf-py311",
        "bookworm",
        "armhf",
        "3.11",
        "qemu-arm-static",
        ("python3-numpy", "python3-opencv"),
        (A15,),
        reference_kernels=True,
    ),
)


class StepError(Exception):
    """A step could not be carried out."""


def main() -> int:
    """Build, run, compare, say."""
    options = parse_options()
    missing = [tool for tool in ("mmdebstrap", *{g.emulator for g in GUESTS}) if not shutil.which(tool)]
    if missing:
        sys.stderr.write(
            f"{', '.join(sorted(missing))} not found; install with: "
            "apt-get install qemu-user-static mmdebstrap debian-archive-keyring\n"
        )
        return 3
    guests = [guest for guest in GUESTS if not options.only or guest.name in options.only]
    begin = time.monotonic()
    try:
        options.detector_model = options.detector_model or detector_file()
        wheel = build_wheel(options.work)
        # Guests first, and 32-bit Arm, which has the slowest way, before all: the others fill the cores beside it.
        with ThreadPoolExecutor(len(guests) + 1) as pool:
            native = pool.submit(run_native, options)
            answers = [
                pool.submit(run_guest, guest, wheel, options, native)
                for guest in sorted(guests, key=lambda guest: guest.architecture, reverse=True)
            ]
            here = native.result()
            failures = report(here, [pair for answer in answers for pair in answer.result()])
    except (StepError, FerError) as error:
        sys.stderr.write(f"emulate.py: error: {error}\n")
        return 2
    print(f"{time.monotonic() - begin:.0f} s, emulated: this shows results, not speed")
    for failure in failures:
        sys.stderr.write(f"emulate.py: {failure}\n")
    return 1 if failures else 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run the wheel on emulated Arm processors and compare bit by bit.")
    parser.add_argument(
        "--work", type=Path, default=CHECKOUT / "out" / "arm", help="where userlands are kept (out/arm)"
    )
    parser.add_argument("--model", type=Path, help="INT8 TFLite file with golden.npz beside it; default: the wheel's")
    parser.add_argument(
        "--detector-model",
        type=Path,
        metavar="F",
        help="YuNet's .onnx; default: that of FER_ASSETS, else as fer-camera --fetch, else without the detector",
    )
    parser.add_argument("--only", action="append", choices=[guest.name for guest in GUESTS], help="only this userland")
    parser.add_argument("--fresh", action="store_true", help="build the userlands again")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.model = options.model and options.model.resolve()
    options.detector_model = options.detector_model and options.detector_model.resolve()
    return options


def detector_file() -> Path | None:
    """YuNet's file, or None with a notice: without it everything else is compared all the same."""
    given = Path(os.environ.get("FER_ASSETS", "")) / "detectors" / YUNET.name
    if "FER_ASSETS" in os.environ and given.is_file():
        return given
    try:
        return yunet_file()
    except FerError as error:
        sys.stderr.write(f"emulate.py: the face detector is left out: {error}\n")
        return None


def detector_option(options: argparse.Namespace) -> list[str]:
    """The detector's file, where there is one."""
    return ["--detector-model", str(options.detector_model)] if options.detector_model else []


def build_wheel(work: Path) -> Path:
    """The wheel of this checkout, as users get it."""
    folder = work / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)],
        "the wheel",
    )
    return next(folder.glob("*.whl"))


def run_native(options: argparse.Namespace) -> dict[str, Any]:
    """The same check on this machine; it leaves the model without its SOFTMAX at :func:`logits_model`."""
    path = logits_model(options.work)
    path.unlink(missing_ok=True)
    command = [sys.executable, str(CHECK), "--reference", "--write-logits-model", str(path)]
    command += detector_option(options)
    environment = os.environ | {"XDG_CACHE_HOME": empty_folder(options.work / "cache")}
    return parse_answer(run([*command, *model_option(options.model)], "the native check", environment))


def empty_folder(path: Path) -> str:
    """So that the detector's file is written, not found."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return str(path)


def logits_model(work: Path) -> Path:
    """The model without its last operator: made once here, because the schema's module takes a minute in qemu."""
    return work / "logits.tflite"


def run_guest(
    guest: Guest, wheel: Path, options: argparse.Namespace, native: Future[dict[str, Any]]
) -> list[tuple[str, Guest, Any]]:
    """The check on every processor of one userland; ``(title, guest, answer)`` each."""
    work, model = options.work, options.model
    root = build_userland(guest, work, options.fresh)
    site = install(guest, wheel, work)
    compile_bytecode(guest, [site, *root.glob("usr/lib/python3*")])
    native.result()
    cache = empty_folder(work / guest.name / "cache")
    answers = []
    for cpu in guest.cpus:
        write_cpuinfo(root, cpu)
        command = [guest.emulator, "-cpu", cpu.name, "-L", str(root), str(root / "usr/bin/python3"), str(CHECK)]
        # Byte code is cached beside the modules: the second start is several times as fast.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"PYTHONPATH": str(site), "XDG_CACHE_HOME": cache}
        # tflite-runtime has no schema module, and Debian's OpenCV is too old for YuNet.
        if guest.architecture == "arm64":
            command += ["--logits-model", str(logits_model(work)), *detector_option(options)]
        title = f"{cpu.name} {guest.name}"
        answers.append((title, guest, parse_answer(run([*command, *model_option(model)], title, environment))))
    return answers


def compile_bytecode(guest: Guest, folders: list[Path]) -> None:
    """Byte code for the guest by a native Python of the same version, if there is one: in qemu it takes a minute."""
    command = [sys.executable, "-m", "uv", "python", "find", "--no-python-downloads", "--no-project", guest.python]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return  # the guest compiles what it imports
    skip = r"/(tests?|idlelib|lib2to3|ensurepip|distutils|f2py|_pyrepl)/"
    compiler = [found.stdout.strip(), "-m", "compileall", "-q", "-x", skip, *map(str, folders)]
    with contextlib.suppress(StepError):  # Debian's own folder holds files for other versions; the rest is compiled
        run(compiler, f"byte code of {guest.name}")


def build_userland(guest: Guest, work: Path, fresh: bool) -> Path:
    """An unpacked Debian with Python; kept until the recipe changes."""
    root, stamp = work / guest.name / "root", work / guest.name / "recipe"
    recipe = repr((guest.suite, guest.architecture, _PYTHON_PACKAGES, guest.packages))
    if stamp.is_file() and stamp.read_text() == recipe and not fresh:
        return root
    shutil.rmtree(work / guest.name, ignore_errors=True)
    root.mkdir(parents=True)
    mirror = debian_mirror(Path("/etc/apt"))
    run(
        [
            "mmdebstrap",
            "--variant=extract",
            f"--architectures={guest.architecture}",
            "--include=" + ",".join((*_PYTHON_PACKAGES, *guest.packages)),
            "--aptopt=Acquire::Languages none",
            guest.suite,
            str(root),
            f"deb {mirror} {guest.suite} main",
        ],
        f"the userland {guest.name}",
    )
    # What update-alternatives would have linked on installation
    for library in root.glob("usr/lib/*/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack"):
            link = library.parents[1] / library.name
            link.unlink(missing_ok=True)
            link.symlink_to(Path(library.parent.name) / library.name)
    (root / "proc").mkdir(exist_ok=True)
    stamp.write_text(recipe)
    return root


def debian_mirror(apt: Path) -> str:
    """The first Debian mirror in the host's sources; Debian's own where there is none, as on Ubuntu."""
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]
    for path in files:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if words and words[0] in ("URIs:", "deb"):
                found = [w for w in words[1:] if w.startswith("http") and w.rstrip("/").endswith("/debian")]
                if found:
                    return found[0]
    return "http://deb.debian.org/debian"


def install(guest: Guest, wheel: Path, work: Path) -> Path:
    """The wheel with its Arm dependencies, in a folder of its own."""
    site = work / guest.name / "site"
    shutil.rmtree(site, ignore_errors=True)
    target = ["--target", str(site), "--python-version", guest.python, "--only-binary=:all:"]
    if guest.architecture == "arm64":
        command = [sys.executable, "-m", "uv", "pip", "install", "-q", *target]
        run([*command, "--python-platform", "aarch64-manylinux_2_28", str(wheel)], f"wheels of {guest.name}")
        return site
    lines = (CHECKOUT / "edge" / "requirements-tflite-runtime.txt").read_text().splitlines()
    runtime = next(line for line in lines if line.startswith("tflite-runtime"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *target, "--no-deps"]
    run([*command, "--platform", "manylinux_2_34_armv7l", runtime, str(wheel)], f"wheels of {guest.name}")
    return site


def write_cpuinfo(root: Path, cpu: Cpu) -> None:
    """qemu shows programs the host's ``/proc/cpuinfo`` unless the userland has one."""
    lines = (
        "processor\t: 0",
        "BogoMIPS\t: 108.00",
        f"Features\t: {cpu.features}",
        "CPU implementer\t: 0x41",
        "CPU architecture: " + ("7" if cpu is A15 else "8"),
        "CPU variant\t: 0x0",
        f"CPU part\t: {cpu.part}",
        "CPU revision\t: 3",
    )
    (root / "proc" / "cpuinfo").write_text("\n".join(lines) + "\n\n")


def model_option(model: Path | None) -> list[str]:
    """For the check's command line."""
    return ["--model", str(model)] if model else []


def run(command: list[str], what: str, environment: dict[str, str] | None = None) -> str:
    """Standard output of ``command``, which takes minutes in all, so each step says when it is done.

    Raises :class:`StepError` with the last error line of a command that fails.
    """
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{what}: not done after {RUN_TIMEOUT_S} s") from error
    if done.returncode != 0:
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:]
        raise StepError(f"{what} failed (exit {done.returncode}): {last[0] if last else 'no message'}")
    sys.stderr.write(f"{what}: {time.monotonic() - began:.0f} s\n")
    return done.stdout


def parse_answer(text: str) -> dict[str, Any]:
    """The JSON object on the last line."""
    answer: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return answer


def report(here: dict[str, Any], answers: list[tuple[str, Guest, dict[str, Any]]]) -> list[str]:
    """Print a line for each processor; returns what differs."""
    print(f"{'here':<32}{describe(here)}")
    failures = differences("here", here, here, reference=False)
    for title, guest, answer in answers:
        wrong = differences(title, here, answer, reference=guest.reference_kernels)
        print(f"{title + ' emulated':<32}{describe(answer)}: {'DIFFERS' if wrong else 'identical'}")
        failures += wrong
    return failures


def describe(answer: dict[str, Any]) -> str:
    """Versions in a line."""
    return (
        f"{answer['machine']}, Python {answer['python']}, numpy {answer['numpy']}, OpenCV {answer['opencv']}, "
        f"{answer['runtime']}"
    )


def differences(title: str, here: dict[str, Any], there: dict[str, Any], reference: bool) -> list[str]:
    """In words, what is not identical; ``reference`` compares outputs with those of the reference kernels here."""
    wrong = []
    if there["verify_exit"] != 0:
        wrong.append(f"{title}: fer-camera --verify ended with {there['verify_exit']}: {there['verify_said'][-1]}")
    for key, what in (("faces_sha256", "preprocessed faces"), ("tensors_sha256", "input tensors")):
        if there[key] != here[key]:
            wrong.append(f"{title}: {what} differ from those on this machine")
    if not reference and there["logits_sha256"] != here["logits_sha256"]:
        wrong.append(f"{title}: the network's INT8 outputs before SOFTMAX differ from those on this machine")
    if not reference:
        wrong += [f"{title}: {what} from those on this machine" for what in detector_differences(here, there)]
    expected = here["reference_outputs" if reference else "outputs"]
    pairs = zip(expected, there["outputs"], strict=True)
    steps = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    if steps > MAX_SOFTMAX_STEPS:
        wrong.append(f"{title}: INT8 outputs differ by {steps} steps from those on this machine")
    return wrong


def detector_differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """In words, what the face detector gave otherwise; nothing is allowed to differ."""
    one, other = here["detector"], there["detector"]
    if one is None:  # no file of it
        return []
    names = {
        "file_sha256": "the detector's INT8 file differs",
        "maps_sha256": "the detector's maps differ",
        "views_sha256": "shrunken views differ",
        "faces": "faces differ",
    }
    return [what for key, what in names.items() if one[key] != other[key]]


if __name__ == "__main__":
    sys.exit(main())
