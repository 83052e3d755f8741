"""Known vulnerabilities in what the toolkit depends on, all extras included: pip-audit over the newest versions.

    python tests/reliability/audit_dependencies.py --json out/audit.json

Exit 0: every package was looked up and none is known to be vulnerable. 1: some are, they are listed. 3: no service that
knows vulnerabilities can be reached from here (pypi.org, api.osv.dev), or it does not know all packages; nothing was
proven then, and it says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final[Path] = Path(__file__).parents[2]
SERVICES: Final[tuple[str, ...]] = ("pypi", "osv")
TIMEOUT_S: Final[int] = 300


def resolve(target: Path) -> None:
    """All packages that an installation with every extra gets today, pinned."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "--no-header", "--no-annotate", "pyproject.toml"]
    done = subprocess.run(
        [*command, "--extra", "all"], cwd=CHECKOUT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise OSError(f"the dependencies cannot be resolved: {last_line(done.stderr)}")
    target.write_text(done.stdout)


def audit(requirements: Path, service: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package. Raises OSError when it cannot ask."""
    command = [sys.executable, "-m", "uv", "tool", "run", "-q", "pip-audit", "-r", str(requirements), "-s", service]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(last_line(done.stderr)) from error
    return packages


def last_line(text: str) -> str:
    """Of what a command said, the part that tells most."""
    return (text.strip().splitlines() or ["no reason given"])[-1][:200]


def judge(packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Exit code and lines for what was found. A package that was skipped is no package without vulnerabilities."""
    lines = [
        f"{package['name']} {package.get('version')}: {found['id']}"
        + (f", fixed in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for package in packages
        for found in package.get("vulns", ())
    ]
    if lines:
        return 1, lines
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped or not packages:
        return 3, [f"not audited: {len(skipped)} of {len(packages)} packages are unknown to the service"]
    return 0, [f"{len(packages)} packages, no known vulnerability"]


def main() -> int:
    """Ask the services in turn until one has an answer."""
    parser = argparse.ArgumentParser(description="Look up known vulnerabilities of all dependencies.")
    parser.add_argument("--json", type=Path, metavar="F", help="write what was found")
    options = parser.parse_args()
    code = 3
    lines: list[str] = []
    packages: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        try:
            resolve(requirements)
            for service in SERVICES:
                try:
                    packages = audit(requirements, service)
                    code, lines = judge(packages)
                except (OSError, subprocess.TimeoutExpired) as error:
                    lines = [f"not audited: {service} cannot be asked: {error}"]
                sys.stdout.write("".join(f"{service}: {line}\n" for line in lines))
                if code != 3:
                    break
        except (OSError, subprocess.TimeoutExpired) as error:
            sys.stdout.write(f"not audited: {error}\n")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"exit": code, "lines": lines, "packages": packages}, indent=1) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
