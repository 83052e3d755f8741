"""Feeds inputs to one reader, in a process that may die.

    python -m tests.reliability.fuzz_child TARGET SEED FIRST COUNT

Writes ``INDEX`` before each input and ``OUTCOME MIB TEXT`` after it, a line each, on standard output; the runner tells
from the silence after an index which input hung or killed this process.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Final

from tests.reliability.fuzz_targets import TARGETS, input_number, outcome

MEMORY_BYTES: Final[int] = 8 * 2**30
"""Address space, of which runtimes reserve much more than they use."""


def peak_mib() -> int:
    """Highest resident memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def main() -> int:
    """Feed, tell."""
    name, seed, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    lines = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)  # runtimes tell of every broken file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="fer-fuzz-") as folder:
        target = TARGETS[name](Path(folder))
        for content in target.seeds:  # warm: imports are not part of an input's time
            kind, text = outcome(target, content)
            if kind == "E":
                lines.write(f"seed {json.dumps(text)}\n")
        base = peak_mib()
        lines.write(f"ready {base}\n")
        for index in range(first, first + count):
            content = input_number(target, name, seed, index)
            lines.write(f"{index}\n")
            lines.flush()
            kind, text = outcome(target, content)
            lines.write(f"{kind} {peak_mib()} {json.dumps(text)}\n")
            lines.flush()
        target.close()
    lines.write("end\n")
    lines.flush()
    os._exit(0)  # what a damaged model left behind must not be torn down


if __name__ == "__main__":
    sys.exit(main())
