"""CI runs the README's commands as a new user would, and nothing of a developer's environment helps them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAIN = ROOT / ".ci" / "plain"
BASE = {"PATH": os.environ["PATH"]}


def shown(environment: dict[str, str]) -> dict[str, str]:
    """What a command in ``.ci/plain`` finds in its environment."""
    done = subprocess.run([PLAIN, "env", "-0"], env=BASE | environment, capture_output=True, text=True, check=True)
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


def test_ci_runs_both_commands_of_the_readme_in_a_plain_environment() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    makes = [line.strip() for line in lines if re.search(r"(^|\s)make\s", line) and not line.lstrip().startswith("#")]
    assert makes == [".ci/plain make demo", ".ci/plain make test"]


def test_a_developers_variables_do_not_reach_the_command(tmp_path: Path) -> None:
    hidden = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/x",
        "XDG_CACHE_HOME": "/x",
        "DISPLAY": ":0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "ORT_DISABLE_TELEMETRY": "1",
        "FER_WEB_TOKEN": "x",
        "VIRTUAL_ENV": "/x",
        "HOME": str(tmp_path),
    }
    found = shown(hidden)
    assert set(found) == {"HOME", "PATH", "LANG", "TERM"}
    assert found["PATH"] == BASE["PATH"]
    assert found["HOME"] != str(tmp_path)


def test_what_the_package_client_needs_reaches_the_command() -> None:
    needed = {
        "SSL_CERT_FILE": "/c.pem",
        "REQUESTS_CA_BUNDLE": "/c.pem",
        "PIP_INDEX_URL": "https://index.example/simple?a=b c",
        "PIP_CERT": "/c.pem",
        "UV_INDEX_URL": "https://index.example/simple",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "https_proxy": "http://proxy.example:1",
    }
    found = shown(needed)
    assert {name: found.get(name) for name in needed} == needed


def test_the_users_pip_configuration_still_counts(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\n")
    assert shown({"HOME": str(tmp_path)})["PIP_CONFIG_FILE"] == str(settings)
    assert shown({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/own"})["PIP_CONFIG_FILE"] == "/own"


def test_test_data_reaches_the_command_where_it_exists(tmp_path: Path) -> None:
    found = shown({"FER_ASSETS": str(tmp_path), "FER2013": str(tmp_path / "none.zip")})
    assert found["FER_ASSETS"] == str(tmp_path)
    assert "FER2013" not in found


def test_the_home_folder_is_new_empty_and_gone_afterwards() -> None:
    script = 'test -z "$(ls -A "$HOME")" && touch "$HOME/left" && echo "$HOME"'
    done = subprocess.run([PLAIN, "sh", "-c", script], env=BASE, capture_output=True, text=True, check=True)
    home = Path(done.stdout.strip())
    assert home.is_absolute()
    assert not home.exists()


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_commands(code: int) -> None:
    assert subprocess.run([PLAIN, "sh", "-c", f"exit {code}"], env=BASE, check=False).returncode == code


def test_no_command_is_a_usage_error() -> None:
    done = subprocess.run([PLAIN], env=BASE, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


PACKAGES = {
    "Xvfb": "xvfb",
    "chromium-browser": "chromium",
    "google-chrome": "chromium",
    "mosquitto_passwd": "mosquitto",
    "nginx": "nginx-light",
    "systemd-analyze": "systemd",
}
"""Programs that are not in the Debian package of their own name."""
EVERYWHERE = {"chroot", "setpriv", "debootstrap"}
"""In every Debian; the last one is needed only where mmdebstrap is missing."""


def test_ci_installs_what_the_readme_names_and_every_program_that_tests_look_for() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    body = script[script.index("required=") : script.index("as_root=")]
    lists = subprocess.run(
        ["bash", "-c", f'{body}\nprintf "%s\\n" $required "" $optional'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    required, optional = (part.split() for part in lists.stdout.split("\n\n"))
    assert {"git", "make", "python3-venv", "libgl1"} <= set(required)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    looked_for = {name for text in sources for name in re.findall(r'which\("([\w.-]+)"', text)}
    looked_for |= {
        name
        for text in sources
        for group in re.findall(r"map\(shutil\.which, \(([^)]*)", text)
        for name in re.findall(r'"([\w.-]+)"', group)
    }
    assert len(looked_for) > 8
    assert {PACKAGES.get(name, name) for name in looked_for - EVERYWHERE} <= {*required, *optional}
