"""The documentation: a site that builds without a warning, and commands in it that exist as written."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PYTHON_PAGES = {
    "python": "fer_edge",
    "python-train": "fer_train",
    "python-export": "fer_export",
    "python-bench": "fer_bench",
}
"""Page of the reference -> the package whose public names it has to show."""


@cache
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(ROOT / "mkdocs.yml"), "-d", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_site_builds_strictly_with_every_command_and_the_python_names(site: Path) -> None:
    for command in hooks().COMMANDS:
        assert (site / "reference" / "commands" / f"{command}.html").is_file()
    for title, package in PYTHON_PAGES.items():
        page = (site / "reference" / f"{title}.html").read_text(encoding="utf-8")
        names = set(importlib.import_module(package).__all__) - {"EMOTIONS", "__version__"}
        missing = [name for name in names if not re.search(rf'id="{package}\.(\w+\.)*{name}"', page)]
        assert not missing and ":class:" not in page, title
    camera = (site / "reference" / "commands" / "fer-camera.html").read_text(encoding="utf-8")
    assert "--min-confidence" in camera and "--web" in camera


@pytest.mark.slow
def test_every_page_of_the_site_is_in_its_navigation(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")} - {"index.html", "404.html"}
    linked = set(re.findall(r'href="([^"#]+\.html)', index))
    assert pages <= linked, pages - linked


def documented() -> list[tuple[str, str]]:
    """(document, command line) of every line in a shell block that starts one of our commands."""
    found = []
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    documents = [ROOT / name for name in listed.stdout.split("\0") if name] or list(ROOT.glob("**/README.md"))
    for document in documents:
        if not document.is_file() or document.name == "CHANGELOG.md":
            continue
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", document.read_text(encoding="utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                found += [(str(document.relative_to(ROOT)), part) for part in commands_in(line)]
    return found


def commands_in(line: str) -> list[str]:
    """Our commands in a shell line: without what comes before (variables, sudo) and after (pipes, comments)."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    found: list[str] = []
    segment: list[str] = []
    for word in [*words, "&&"]:
        if word not in ("|", "&&", ";", ">", "2>", "||", "&"):
            segment.append(word)
            continue
        while segment and (re.match(r"[A-Z_0-9]+=", segment[0]) or segment[0] in ("sudo", "nohup", "time", "exec")):
            segment.pop(0)
        if segment and segment[0].removeprefix(".venv/bin/") in hooks().COMMANDS:
            found.append(shlex.join([segment[0].removeprefix(".venv/bin/"), *segment[1:]]))
        segment = []
    return found


PASS_ON = ("ablation", "teach")
"""Subcommands that hand options that are not their own to ``fer-train``."""
DOCUMENTED = sorted(set(documented()))


def mentioned() -> list[tuple[str, str]]:
    """(document, option and perhaps its value) of every option in a sentence, such as ``--min-confidence 0``."""
    found = set()
    for document in ROOT.glob("docs/**/*.md"):
        prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
        found |= {(str(document.relative_to(ROOT)), code) for code in re.findall(r"`(--[a-z][^`\n]*)`", prose)}
    return sorted(found)


def test_options_in_sentences_exist_and_take_the_values_that_they_are_given() -> None:
    flags: dict[str, set[bool]] = {}
    for module, subcommands in hooks().COMMANDS.values():
        for name in ("", *subcommands):
            for action in hooks().parser_of(module, name)._actions:
                for flag in action.option_strings:
                    flags.setdefault(flag, set()).add(action.nargs != 0)
    wrong = []
    for document, code in mentioned():
        flag, *value = code.replace("=", " ").split()
        takes = flags.get(flag.partition("|")[0])
        if takes is None or (value and not value[0].startswith("-") and True not in takes):
            wrong.append(f"{document}: {code}")
    assert not wrong


def test_the_picture_of_the_tutorial_holds_two_faces() -> None:
    """Whoever has no network has Haar; the tutorial's first command must work for them, too."""
    from fer_edge import FacePipeline
    from fer_edge.faces import open_detector

    pipeline = FacePipeline(ROOT / "docs" / "fer-camera.jpg", detector=open_detector("haar"))
    assert [face.emotion for face in next(iter(pipeline)).faces] == ["happy", "surprise"]


def test_there_are_documented_commands() -> None:
    assert len(DOCUMENTED) > 40


@pytest.mark.parametrize(("document", "line"), DOCUMENTED, ids=[f"{d}: {c}" for d, c in DOCUMENTED])
def test_a_documented_command_has_options_that_exist(document: str, line: str) -> None:
    command, *arguments = shlex.split(line)
    if "..." in arguments or {"--help", "--version"} & set(arguments):
        return
    module, subcommands = hooks().COMMANDS[command]
    given = arguments[0] if arguments and arguments[0] in subcommands else ""
    parser = hooks().parser_of(module, given)
    takes_its_name = given and any(given in (action.choices or ()) for action in parser._actions)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            own = arguments if takes_its_name or not given else arguments[1:]
            if given in PASS_ON:
                _, rest = parser.parse_known_args(own)
                hooks().parser_of(module, "").parse_args(["--run", "r", *rest])
            else:
                parser.parse_args(own)
        except (SystemExit, Exception) as error:
            pytest.fail(f"{document}: {line}: {error} {said.getvalue()}")
