"""The one cache folder, on every system and for every kind of user, and the number of CPUs."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from fer_edge import system
from fer_edge.errors import UsageError
from fer_edge.system import cache_folder, can_write, places_to_look, usable_cpus, usual_cache_folder


@pytest.fixture(autouse=True)
def no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    system._warn_once.cache_clear()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/maker/.cache/fer-edge-toolkit"),
        ("darwin", {}, "/home/maker/Library/Caches/fer-edge-toolkit"),
        ("win32", {"LOCALAPPDATA": "/appdata"}, "/appdata/fer-edge-toolkit"),
        ("win32", {"LOCALAPPDATA": ""}, "/home/maker/AppData/Local/fer-edge-toolkit"),
        ("linux", {"XDG_CACHE_HOME": "/chosen"}, "/chosen/fer-edge-toolkit"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/maker/.cache/fer-edge-toolkit"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/maker/.cache/fer-edge-toolkit"),
    ],
)
def test_the_custom_of_the_system(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/maker")
    monkeypatch.setattr("sys.platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert usual_cache_folder() == Path(expected)


def test_a_home_folder_that_does_not_exist_yet(tmp_path: Path, notices: list[str]) -> None:
    assert cache_folder() == tmp_path / "home" / ".cache" / "fer-edge-toolkit"
    assert not (tmp_path / "home").exists(), "asking makes nothing"
    assert notices == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users of Windows have a temporary folder of their own")
@pytest.mark.parametrize("home", ["unknown", "empty", "below a file"])
def test_without_a_home_folder(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str]) -> None:
    if home == "below a file":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    elif home == "empty":
        monkeypatch.setenv("HOME", "")
    else:
        monkeypatch.setattr(Path, "home", staticmethod(no_home))
    expected = tmp_path / "tmp" / f"fer-edge-toolkit-{os.getuid()}"
    assert [cache_folder(), cache_folder()] == [expected, expected]
    assert stat.S_IMODE(expected.stat().st_mode) == 0o700
    assert len(notices) == 1
    assert str(expected) in notices[0]
    assert list(places_to_look("a"))[-1] == expected / "a"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users of Windows have a temporary folder of their own")
@pytest.mark.parametrize("trap", ["link", "open to all", "file"])
def test_a_temporary_folder_that_others_may_write_is_not_trusted(
    trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", staticmethod(no_home))
    folder = tmp_path / "tmp" / f"fer-edge-toolkit-{os.getuid()}"
    if trap == "link":
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    elif trap == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(UsageError, match=r"no folder for caches.*XDG_CACHE_HOME"):
        cache_folder()
    assert list(places_to_look("a")) == []


def test_what_can_be_written(tmp_path: Path) -> None:
    assert can_write(tmp_path)
    assert can_write(tmp_path / "new" / "newer")
    (tmp_path / "file").write_text("")
    assert not can_write(tmp_path / "file")
    assert not can_write(tmp_path / "file" / "below")
    assert not can_write(tmp_path / ("x" * 5000))
    if hasattr(os, "getuid"):
        (tmp_path / "broken").symlink_to(tmp_path / "gone")
        assert not can_write(tmp_path / "broken" / "new"), "as ~/.cache on a disk that is not there"
    if hasattr(os, "getuid") and os.getuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        assert not can_write(tmp_path / "closed" / "new")


def test_cpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 9})
        assert usable_cpus() == 3
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1
