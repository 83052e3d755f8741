from __future__ import annotations

import io
import os
import sys

import pytest

from fer_edge.native import quiet_native_libraries


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
