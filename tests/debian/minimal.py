"""The README's promise on a machine that has nothing: a minimal Debian with exactly the packages that it names.

    python -m tests.debian.minimal [--suite bookworm] [--keep]

1. Reads the ``apt install`` line from README.md and from the Raspberry Pi guide, and makes a Debian with what it names
   but the libraries. There, after ``pip install`` of the wheel, every command that needs OpenCV must say in one line
   which Debian package is missing.
2. Follows the other advice of that line, ``opencv-python-headless``, and runs ``fer-camera`` and ``fer-data``.
3. Goes back to ``opencv-python``, installs the libraries that the documents name, and runs both again.

Needs root and ``mmdebstrap`` (or ``debootstrap``), a Debian mirror and a package index; pip's settings of this machine
hold there, too.

Exit 0: all as promised; 1: not so; 2: a step could not be carried out; 3: not possible here, no tool or no right.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tests.arm.emulate import StepError, build_wheel, debian_mirror, run

from fer_train.synthetic.faces import draw_scene

ROOT: Final[Path] = Path(__file__).parents[2]
DOCUMENTS: Final[tuple[Path, ...]] = (ROOT / "README.md", ROOT / "edge" / "install" / "raspberry-pi.md")
FRAMES: Final[int] = 8
CERTIFICATES: Final[str] = "/etc/ssl/index-certificates.pem"
BIN: Final[str] = "/opt/fer/bin"
TIMEOUT_S: Final[int] = 600
_SETTINGS: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class PromiseError(Exception):
    """Something is not as the documents say."""


def packages_named_in(text: str) -> list[list[str]]:
    """The packages of every ``apt install`` line in ``text`` that names libraries beside ``python3-venv``."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].split()
        if "install" not in words or not {"apt", "apt-get"} & set(words[: words.index("install")]):
            continue
        named = [word for word in words[words.index("install") + 1 :] if not word.startswith("-")]
        if "python3-venv" in named and libraries(named):
            found.append(named)
    return found


def libraries(packages: Sequence[str]) -> list[str]:
    """Those of ``packages`` that hold shared libraries."""
    return [name for name in packages if re.match(r"lib[a-z].*\d", name)]


def documented_packages(documents: Sequence[Path] = DOCUMENTS) -> list[str]:
    """What a user has to install first, by the first of the documents that has such a line.

    Raises:
        PromiseError: none has one, or two of them name different libraries.
    """
    named = [packages for path in documents for packages in packages_named_in(path.read_text(encoding="utf-8"))]
    if not named:
        raise PromiseError(f"no apt line with python3-venv and libraries in {', '.join(map(str, documents))}")
    if len({frozenset(libraries(packages)) for packages in named}) > 1:
        raise PromiseError(f"the documents name different libraries: {named}")
    return named[0]


@dataclass(frozen=True)
class Answer:
    """How a command in the userland ended."""

    code: int
    out: str
    error: str


class Userland:
    """A Debian in a folder; commands run there with an environment of their own, and nothing of this machine's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            "HOME": "/root",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }

    def make(self, suite: str, packages: Sequence[str]) -> None:
        """A minimal Debian with ``packages`` and what they depend on, nothing that they merely recommend."""
        mirror = debian_mirror(Path("/etc/apt"))
        if shutil.which("mmdebstrap"):
            options = [
                "--variant=minbase",
                "--aptopt=Acquire::Languages none",
                "--dpkgopt=force-unsafe-io",
                "--skip=cleanup/apt/lists",
            ]
            include = "--include=" + ",".join(packages)
            command = ["mmdebstrap", *options, include, suite, str(self.root), f"deb {mirror} {suite} main"]
            run(command, f"a minimal Debian {suite}")
        else:
            run(["debootstrap", "--variant=minbase", suite, str(self.root), mirror], f"a minimal Debian {suite}")
            self.copy_network_settings()
            self.must("apt-get", "-qq", "update")
            self.install(packages)
        self.copy_network_settings()

    def copy_network_settings(self) -> None:
        """Names of hosts, and how pip reaches its index."""
        for name in ("resolv.conf", "hosts"):
            source = Path("/etc") / name
            if source.is_file():
                (self.root / "etc" / name).unlink(missing_ok=True)
                shutil.copyfile(source, self.root / "etc" / name)
        settings, certificates = index_settings()
        self.environment |= settings
        if certificates is not None:
            target = self.root / CERTIFICATES.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(certificates, target)
            self.environment |= {"PIP_CERT": CERTIFICATES}

    def run(self, *command: str) -> Answer:
        """Run ``command`` there, with ``/proc`` where the rights suffice for it."""
        inner = ["chroot", str(self.root), *command]
        script = f'mount -t proc proc "{self.root}/proc" 2> /dev/null; exec "$@"'
        outer = ["unshare", "--mount", "sh", "-c", script, "sh"] if _can_unshare() else []
        try:
            done = subprocess.run(
                [*outer, *inner],
                env=self.environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StepError(f"{' '.join(command)}: not done after {TIMEOUT_S} s") from error
        return Answer(done.returncode, done.stdout, done.stderr)

    def must(self, *command: str) -> str:
        """Run a command of others, which needs the network. Returns what it printed."""
        began = time.monotonic()
        answer = self.run(*command)
        if answer.code != 0:
            raise StepError(f"{' '.join(command)} ended with {answer.code}: {answer.error.strip()[-500:]}")
        sys.stderr.write(f"{' '.join(command)}: {time.monotonic() - began:.0f} s\n")
        return answer.out

    def install(self, packages: Sequence[str]) -> None:
        """``apt install``, without what is recommended only."""
        self.must("apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages)


def _can_unshare() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def index_settings() -> tuple[dict[str, str], Path | None]:
    """pip's settings of this machine as environment variables, and its file of certificates.

    Settings that name folders of this machine are left out: they are not there in the userland.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    settings = {
        "PIP_" + name.upper().replace("-", "_"): value
        for name, value in found.items()
        if name in _SETTINGS and "file:" not in value
    }
    settings |= {name: os.environ[name] for name in _PROXIES if name in os.environ}
    candidates = (found.get("cert"), os.environ.get("REQUESTS_CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"))
    certificates = next((Path(name) for name in candidates if name and Path(name).is_file()), None)
    return {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"} | settings, certificates


def check_told(here: Userland, promised: Sequence[str]) -> None:
    """Without the libraries: one line with the package to install, by every command; help and versions as ever."""
    for command in ("fer-analyze", "fer-camera", "fer-data", "fer-train", "fer-export", "fer-bench"):
        for option in ("--help", "--version"):
            answer = here.run(f"{BIN}/{command}", option)
            expect(answer.code == 0, f"{command} {option} without OpenCV's libraries", answer)
    usages = {
        "fer-analyze": ["/video.avi", "--out", "/tmp/never"],
        "fer-camera": ["--source", "/video.avi", "--headless"],
        "fer-data": ["synth", "--to", "/tmp/never"],
        "fer-train": ["--run", "/tmp/never", "--data", "/tmp/none"],
        "fer-export": ["--int8", "--weights", "/opt"],
        "fer-bench": ["--model", "fer_int8.tflite"],
    }
    for command, arguments in usages.items():
        answer = here.run(f"{BIN}/{command}", *arguments)
        one_line = answer.code == 3 and len(answer.error.splitlines()) == 1 and "install" in answer.error
        expect(one_line, f"{command} says what is missing in one line, and ends with 3", answer)
        if command in ("fer-camera", "fer-data"):  # the others may lack a package of Python first
            named = re.search(r"apt install (\S+?)[;,\s]", answer.error)
            expect(named is not None and named[1] in promised, f"{command} names one of {promised}", answer)
            expect("opencv-python-headless" in answer.error, f"{command} names opencv-python-headless", answer)
    answer = here.run(f"{BIN}/python", "-c", "import fer_edge; fer_edge.EMOTIONS; fer_edge.open_classifier")
    last = answer.error.strip().splitlines()[-1]
    expect("MissingDependencyError" in last and "apt install" in last, "import fer_edge names the package", answer)


def check_works(here: Userland, what: str) -> None:
    """``fer-camera`` on a video and ``fer-data synth``."""
    answer = here.run(f"{BIN}/fer-camera", "--source", "/video.avi", "--detector", "haar", "--headless", "--jsonl", "-")
    expect(answer.code == 0, f"fer-camera with {what}", answer)
    lines = [json.loads(line) for line in answer.out.splitlines()]
    expect(len(lines) == FRAMES, f"fer-camera with {what} answers {FRAMES} frames", answer)
    expect(all(len(line["faces"]) == 1 for line in lines), f"fer-camera with {what} finds the face", answer)
    here.run("rm", "-rf", "/tmp/synth")
    sizes = ("--train", "2", "--validation", "1", "--test", "1")
    answer = here.run(f"{BIN}/fer-data", "synth", "--to", "/tmp/synth", *sizes)
    expect(answer.code == 0, f"fer-data synth with {what}", answer)
    drawn = list((here.root / "tmp" / "synth").rglob("*.png"))
    expect(len(drawn) == 7 * 4, f"fer-data synth with {what} draws 28 faces, not {len(drawn)}", answer)
    print(f"{what}: fer-camera and fer-data run")


def expect(fulfilled: bool, what: str, answer: Answer) -> None:
    """Raise :class:`PromiseError` with the command's own words unless ``fulfilled``."""
    if not fulfilled:
        raise PromiseError(f"not so: {what}; it ended with {answer.code} and said:\n{answer.error}{answer.out}")


def write_video(path: Path) -> None:
    """One synthetic face, looking at us, in :data:`FRAMES` frames of Motion JPEG, which every OpenCV reads."""
    frame, _ = draw_scene("happy", np.random.default_rng(0), 320, 240)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    if not writer.isOpened():
        raise StepError(f"OpenCV cannot write {path}")
    for _ in range(FRAMES):
        writer.write(frame)
    writer.release()


def why_not_here() -> str | None:
    """What this machine lacks for the check; None if nothing."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if not (shutil.which("mmdebstrap") or shutil.which("debootstrap")):
        return "no mmdebstrap (apt-get install mmdebstrap debian-archive-keyring)"
    if os.geteuid() != 0 or shutil.which("chroot") is None:
        return "it needs root, for chroot"
    return None


def check(suite: str, work: Path) -> None:
    """The three parts, in a userland in ``work``."""
    named = documented_packages()
    missing = libraries(named)
    print(f"the documents name: {' '.join(named)}")
    wheel = build_wheel(work)
    here = Userland(work / "root")
    here.make(suite, [name for name in named if name not in missing])
    write_video(here.root / "video.avi")
    shutil.copy(wheel, here.root / "opt")
    here.must("python3", "-m", "venv", str(Path(BIN).parent))
    here.must(f"{BIN}/pip", "install", "-q", f"/opt/{wheel.name}")
    check_told(here, missing)
    print("without the libraries: one line names the Debian package")
    here.must(f"{BIN}/pip", "uninstall", "-q", "-y", "opencv-python")
    here.must(f"{BIN}/pip", "install", "-q", "opencv-python-headless<5")
    check_works(here, "opencv-python-headless, without the libraries")
    here.must(f"{BIN}/pip", "uninstall", "-q", "-y", "opencv-python-headless")
    here.must(f"{BIN}/pip", "install", "-q", f"/opt/{wheel.name}")
    here.install(missing)
    check_works(here, "opencv-python and the packages that the documents name")


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Try the wheel on a minimal Debian.")
    parser.add_argument("--suite", default="bookworm", help="Debian release (default: bookworm)")
    parser.add_argument("--keep", action="store_true", help="leave the userland where it was made")
    options = parser.parse_args()
    reason = why_not_here()
    if reason:
        sys.stderr.write(f"minimal.py: left out: {reason}\n")
        return 3
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="fer-debian-"))
    try:
        check(options.suite, work)
    except PromiseError as error:
        sys.stderr.write(f"minimal.py: {error}\n")
        return 1
    except StepError as error:
        sys.stderr.write(f"minimal.py: error: {error}\n")
        return 2
    finally:
        if options.keep:
            print(f"the userland is {work / 'root'}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
