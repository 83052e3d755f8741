"""The fuzz campaign: mutated inputs to every reader of the toolkit, and what became of them.

    python tests/reliability/fuzz_run.py --count 10000 --json out/fuzz.json
    python tests/reliability/fuzz_run.py --target tflite --target zip --count 500 --seed 7

Each reader runs in a child process with bounded memory. Findings, which make it exit 1: a crash of the process, an
error that users would see as a traceback, more than 5 s of computing or 60 s of silence for an input. A model file that
kills the child is no finding if ``open_classifier``, given the same file, answers with a ``ModelError``: it tries
unknown models in a process of their own. The inputs of findings are kept in ``--keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final[Path] = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from tests.reliability.fuzz_targets import MODEL_TARGETS, TARGETS, input_number  # noqa: E402

from fer_edge.errors import ModelError  # noqa: E402
from fer_edge.loading.open import open_classifier  # noqa: E402

HANG_CPU_S: Final[float] = 5.0
HANG_WALL_S: Final[float] = 60.0
"""A sleeping or waiting child uses no CPU; long, because other work may starve it."""
MAX_MEMORY_MIB: Final[int] = 1024
"""Bound of the resident memory of a reader, its runtime included."""
MAX_FINDINGS: Final[int] = 20


@dataclass
class Finding:
    """An input that should have been accepted or refused, and was not."""

    index: int
    what: str


@dataclass
class Campaign:
    """What became of the inputs to one reader."""

    target: str
    seed: int
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    crashes_contained: int = 0
    """Model files that killed the process that tried them, and were then refused by ``open_classifier``."""
    crashes: list[Finding] = field(default_factory=list)
    hangs: list[Finding] = field(default_factory=list)
    tracebacks: list[Finding] = field(default_factory=list)
    base_rss_mib: int = 0
    """Before the first mutated input: the reader and its runtime."""
    peak_rss_mib: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    common_refusals: dict[str, int] = field(default_factory=dict)

    @property
    def n_findings(self) -> int:
        """All that must not be."""
        too_much = self.peak_rss_mib > MAX_MEMORY_MIB
        return len(self.crashes) + len(self.hangs) + len(self.tracebacks) + too_much


class _Child:
    """The process that feeds the inputs from ``first`` on."""

    def __init__(self, name: str, seed: int, first: int, count: int) -> None:
        command = [sys.executable, "-m", "tests.reliability.fuzz_child", name, str(seed), str(first), str(count)]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert self.process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._rest = b""

    def line(self, timeout_s: float) -> str | None:
        """The next line; None at the end. Raises TimeoutError."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            if not self._selector.select(timeout_s):
                raise TimeoutError
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def cpu_s(self) -> float:
        """CPU time used so far."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """Kill it if it still runs; its return code."""
        self.process.kill()
        self.process.communicate()
        self._selector.close()
        return self.process.returncode


def run_target(name: str, count: int, seed: int = 0, keep: Path | None = None, progress: bool = False) -> Campaign:
    """Feed ``count`` inputs to one reader."""
    campaign = Campaign(name, seed)
    refusals: Counter[str] = Counter()
    began, first = time.monotonic(), 0
    while first < count and len(campaign.crashes) + len(campaign.hangs) < MAX_FINDINGS:
        first = _feed(campaign, _Child(name, seed, first, count - first), first, refusals)
        if progress:
            sys.stderr.write(f"{name}: {first} of {count} inputs, {time.monotonic() - began:.0f} s\n")
    campaign.inputs = first
    campaign.seconds = round(time.monotonic() - began, 1)
    campaign.common_refusals = dict(refusals.most_common(8))
    if keep:
        _keep_findings(campaign, keep)
    return campaign


def _feed(campaign: Campaign, child: _Child, first: int, refusals: Counter[str]) -> int:
    """Follow one child to its end; returns the number of the next input."""
    index, started, cpu = first, 0.0, 0.0
    running = False
    while True:
        try:
            line = child.line(1.0)
        except TimeoutError:
            waited, used = time.monotonic() - started, child.cpu_s() - cpu
            if running and (used > HANG_CPU_S or waited > HANG_WALL_S):
                child.end()
                campaign.hangs.append(Finding(index, f"{used:.1f} s of computing in {waited:.0f} s"))
                return index + 1
            continue
        if line is None or line == "end":
            code = child.end()
            if line == "end":
                return index + 1 if not running else index
            if not running:
                raise RuntimeError(f"{campaign.target}: the feeding process failed to start or to feed ({code})")
            _crashed(campaign, index, code)
            return index + 1
        word, _, rest = line.partition(" ")
        if word == "ready":
            campaign.base_rss_mib = max(campaign.base_rss_mib, int(rest))
        elif word == "seed":
            raise RuntimeError(f"{campaign.target}: a sound input failed: {rest}")
        elif word.isdigit():
            index, running, started, cpu = int(word), True, time.monotonic(), child.cpu_s()
        else:
            running = False
            memory, _, text = rest.partition(" ")
            campaign.peak_rss_mib = max(campaign.peak_rss_mib, int(memory))
            campaign.slowest_s = round(max(campaign.slowest_s, child.cpu_s() - cpu), 2)
            _count(campaign, index, word, json.loads(text), refusals)


def _count(campaign: Campaign, index: int, kind: str, text: str, refusals: Counter[str]) -> None:
    if kind == "A":
        campaign.accepted += 1
    elif kind == "R":
        campaign.refused += 1
        # Without what differs from file to file
        refusals["".join("#" if c.isdigit() else c for c in text.rpartition("/")[2])[:80]] += 1
    elif len(campaign.tracebacks) < MAX_FINDINGS:
        campaign.tracebacks.append(Finding(index, text))


def _crashed(campaign: Campaign, index: int, code: int) -> None:
    how = signal.Signals(-code).name if code < 0 else f"exit {code}"
    if campaign.target in MODEL_TARGETS:
        said = _product_refuses(campaign, index)
        if said is None:
            campaign.crashes_contained += 1
            campaign.refused += 1
            return
        how = f"{how}, and open_classifier {said}"
    campaign.crashes.append(Finding(index, how))


def _product_refuses(campaign: Campaign, index: int) -> str | None:
    """None when ``open_classifier`` answers with a ModelError to the input that killed the child, else what it did."""
    with tempfile.TemporaryDirectory(prefix="fer-fuzz-") as folder:
        target = TARGETS[campaign.target](Path(folder))
        path = target.put(f"x.{campaign.target}", input_number(target, campaign.target, campaign.seed, index))
        try:
            open_classifier(path).close()
        except ModelError:
            return None
        except Exception as error:
            return f"raises {type(error).__name__}: {error}"
    return "accepts it"


def _keep_findings(campaign: Campaign, folder: Path) -> None:
    found = [*campaign.crashes, *campaign.hangs, *campaign.tracebacks]
    if not found:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        target = TARGETS[campaign.target](Path(scratch))
        for finding in found:
            path = folder / f"{campaign.target}-{campaign.seed}-{finding.index}.bin"
            path.write_bytes(input_number(target, campaign.target, campaign.seed, finding.index))
        target.close()


def table(campaigns: list[Campaign]) -> str:
    """As Markdown."""
    lines = [
        "| reader | inputs | refused | accepted | crashes contained | crashes | tracebacks | hangs | slowest | "
        "peak memory (before) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {c.target} | {c.inputs:,} | {c.refused:,} | {c.accepted:,} | {c.crashes_contained} | {len(c.crashes)} | "
        f"{len(c.tracebacks)} | {len(c.hangs)} | {c.slowest_s:.2f} s | {c.peak_rss_mib} MiB ({c.base_rss_mib}) |"
        for c in campaigns
    ]
    return "\n".join(lines)


def main() -> int:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description="Feed mutated inputs to every reader of the toolkit.")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this reader; repeat for more")
    parser.add_argument("--count", type=int, default=10_000, help="inputs to each (10000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other inputs (0)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the numbers and findings")
    parser.add_argument("--keep", type=Path, default=CHECKOUT / "out" / "fuzz", help="for the inputs of findings")
    options = parser.parse_args()
    campaigns: list[Campaign] = []
    for name in options.target or list(TARGETS):
        campaigns.append(run_target(name, options.count, options.seed, options.keep, progress=True))
        if options.json:  # after each, so that an interrupted campaign leaves what it has
            options.json.parent.mkdir(parents=True, exist_ok=True)
            content: dict[str, Any] = {"python": sys.version.split()[0], "campaigns": [asdict(c) for c in campaigns]}
            options.json.write_text(json.dumps(content, indent=1) + "\n")
    sys.stdout.write(table(campaigns) + "\n")
    for campaign in campaigns:
        for finding in (*campaign.crashes, *campaign.hangs, *campaign.tracebacks):
            sys.stdout.write(f"{campaign.target} input {finding.index} (seed {campaign.seed}): {finding.what}\n")
    return 1 if any(campaign.n_findings for campaign in campaigns) else 0


if __name__ == "__main__":
    sys.exit(main())
