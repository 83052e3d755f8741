from __future__ import annotations

import io
import os
import platform
import subprocess
import sys

import pytest

from fer_edge.native import MALLOC_VARIABLES, quiet_native_libraries


def test_only_python_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_native_libraries():
        os.write(2, b"chatter of a library\n")
        sys.stderr.write("ours\n")
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "ours\nheard again\n"


def test_a_replaced_standard_error_stays_what_it_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = io.StringIO()
    monkeypatch.setattr("sys.stderr", ours)
    with quiet_native_libraries():
        assert sys.stderr is ours
        os.write(2, b"chatter\n")
    assert sys.stderr is ours
    assert capfd.readouterr().err == ""


def test_an_error_passes_and_restores(capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with pytest.raises(ZeroDivisionError), quiet_native_libraries():
        raise ZeroDivisionError
    assert sys.stderr is before
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


FAULTS = """
import ctypes, resource, sys
from fer_edge import native
answer = getattr(native, sys.argv[1])() if len(sys.argv) > 1 else None
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
for turn in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    memory = [libc.malloc(48 << 20) for _ in range(2)]
    for each in memory:
        libc.memset(each, 1, 48 << 20)
    for each in memory:
        libc.free(each)
print(answer, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_memory_that_is_kept_need_not_be_cleared_again() -> None:
    def faults(*arguments: str, **settings: str) -> tuple[str, int]:
        environment = {name: value for name, value in os.environ.items() if name not in MALLOC_VARIABLES}
        environment.pop("LD_PRELOAD", None)
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={**environment, **settings},
        )
        answer, count = done.stdout.split()
        return answer, int(count)

    assert faults()[1] > 10_000  # 96 MiB, of 4 KiB each
    answer, count = faults("keep_memory")
    assert (answer, count < 1_000) == ("True", True)
    answer, count = faults("keep_memory", MALLOC_ARENA_MAX="4")  # somebody knows better
    assert (answer, count > 10_000) == ("False", True)
    assert faults("give_memory_back")[1] > 10_000
