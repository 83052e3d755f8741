"""Makers' tools as child processes: what takes too much is ended, with all that it started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from fer_edge.errors import CheckFailedError
from fer_export.targets import child
from fer_export.targets.child import Finished, Limits, reason, run_script, run_tool

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched on Linux only")
PLENTY = Limits(seconds=60, memory_bytes=4 << 30)


def run(code: str, folder: Path, limits: Limits = PLENTY) -> Finished:
    return run_tool([sys.executable, "-c", code], limits=limits, folder=folder, name="the tool")


def test_both_streams_and_the_code(tmp_path: Path) -> None:
    code = "import os, sys; os.write(1, b'\\x1b[1;33mout\\x1b[0m\\n'); sys.stderr.write('err\\n'); sys.exit(3)"
    done = run(code, tmp_path)
    assert (done.code, done.output, done.ending) == (3, "out\nerr\n", "exit code 3")
    assert run("import os; os.abort()", tmp_path).ending == "SIGABRT"


def test_its_python_is_not_led_to_our_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    printed = run("import os; print(sorted(os.environ)); print(os.getcwd())", tmp_path).output
    assert "PYTHONPATH" not in printed and "SECRET_TOKEN" not in printed and "PATH" in printed
    assert printed.splitlines()[-1] == str(tmp_path.resolve())


def test_a_tool_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('helper', 'w').write(str(helper.pid))\ntime.sleep(600)\n"
    )
    with pytest.raises(CheckFailedError, match="the tool did not finish in 6 s and was stopped"):
        run(code, tmp_path, Limits(seconds=6, memory_bytes=4 << 30))
    helper = int((tmp_path / "helper").read_text())
    for _ in range(100):
        try:
            os.kill(helper, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{helper}/stat").is_file() and ") Z " in Path(f"/proc/{helper}/stat").read_text():
            return  # ended; nobody has asked for its code
        time.sleep(0.1)
    pytest.fail("the helper still runs")


@LINUX
def test_a_tool_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    code = "import time; x = bytearray(300 << 20); time.sleep(600)"
    with pytest.raises(CheckFailedError, match=r"took 0\.\d GiB of memory, at most 0\.1 GiB allowed"):
        run(code, tmp_path, Limits(seconds=120, memory_bytes=100 << 20))


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="the tool cannot be started"):
        run_tool([tmp_path / "none"], limits=PLENTY, folder=tmp_path, name="the tool")


def test_scripts_answer_in_json_or_fail_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SCRIPTS", tmp_path)
    (tmp_path / "s.py").write_text(
        "import json, os, sys\nfrom pathlib import Path\n"
        "request = json.loads(Path('request.json').read_text())\n"
        "if request['do'] == 'abort':\n"
        "    os.write(2, b'E RKNN: [05:50:34.417] Meet unsupported conv\\n'); os.abort()\n"
        "if request['do'] == 'raise':\n    raise KeyError('input')\n"
        "if request['do'] != 'nothing':\n    Path('answer.json').write_text(json.dumps(request['do']))\n"
    )

    def ask(what: object) -> object:
        return run_script(Path(sys.executable), "s.py", {"do": what}, limits=PLENTY, folder=tmp_path, name="the tool")[
            0
        ]

    assert ask({"ok": 1}) == {"ok": 1}
    with pytest.raises(CheckFailedError, match="the tool refuses the network: no such operator"):
        ask({"error": "no such operator"})
    with pytest.raises(CheckFailedError, match=r"ended with SIGABRT: E RKNN: Meet unsupported conv$"):
        ask("abort")
    with pytest.raises(CheckFailedError, match="ended with exit code 1: KeyError: 'input'"):
        ask("raise")
    with pytest.raises(CheckFailedError, match="ended with exit code 0: no reason given"):
        ask("nothing")  # an answer of before does not count


def test_the_telling_line_is_found() -> None:
    assert reason("a\nValueError: no\nbye\n") == "ValueError: no"
    assert reason("a\n  error: No solution found\n  cause: Because x\n") == "error: No solution found"
    assert reason("only this\n") == "only this"
    assert reason("") == "no reason given"
