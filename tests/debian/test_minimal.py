"""What the check on a minimal Debian reads and compares. The check itself is slow: ``make debian``, and CI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.debian import minimal
from tests.debian.minimal import DOCUMENTS, PromiseError, documented_packages, libraries, packages_named_in

LINE = "sudo apt install -y --no-install-recommends git make python3-venv libxcb1 libgl1 libglib2.0-0  # once\n"


def test_the_apt_line_is_read_from_a_document() -> None:
    text = f"text\n```sh\n{LINE}sudo apt install -y python3-picamera2\npip install libfoo1 python3-venv\n```\n"
    (found,) = packages_named_in(text)
    assert found == ["git", "make", "python3-venv", "libxcb1", "libgl1", "libglib2.0-0"]
    assert libraries(found) == ["libxcb1", "libgl1", "libglib2.0-0"]


def test_a_line_may_be_continued() -> None:
    (found,) = packages_named_in("apt-get install python3-venv \\\n  libgl1\n")
    assert found == ["python3-venv", "libgl1"]


def test_documents_that_differ_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "a.md", tmp_path / "b.md"
    one.write_text(LINE)
    other.write_text(LINE.replace("libgl1", "").replace("git make ", ""))
    assert documented_packages([one, one])[0] == "git"
    with pytest.raises(PromiseError, match="different libraries"):
        documented_packages([one, other])
    other.write_text("nothing\n")
    with pytest.raises(PromiseError, match="no apt line"):
        documented_packages([other])


def test_our_documents_name_the_packages() -> None:
    assert libraries(documented_packages())
    assert packages_named_in(DOCUMENTS[1].read_text(encoding="utf-8"))


def test_settings_of_pip_come_along_but_no_folders_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ":env:.cert='/none.pem'\nglobal.index-url='https://i.example/simple'\nglobal.find-links='/opt/wheels'\n"
    listed += "global.extra-index-url='file:///opt/pypi'\n"

    def config(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, listed, "")

    monkeypatch.setattr(subprocess, "run", config)
    monkeypatch.setenv("SSL_CERT_FILE", str(DOCUMENTS[0]))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    settings, certificates = minimal.index_settings()
    assert settings["PIP_INDEX_URL"] == "https://i.example/simple"
    assert not {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CERT"} & set(settings)
    assert certificates == DOCUMENTS[0]


def test_where_it_cannot_run_it_says_why(tmp_path: Path) -> None:
    code = "import sys; from tests.debian.minimal import main; sys.argv[1:] = []; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": str(tmp_path)},
        cwd=DOCUMENTS[0].parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "no mmdebstrap (apt-get install mmdebstrap" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_wheel_on_a_minimal_debian() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.debian.minimal"],
        cwd=DOCUMENTS[0].parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode in (2, 3):
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
