"""Documents: every relative link and anchor leads somewhere, and every page can be reached from the README."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = (".md", ".ipynb")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)>\s]+)>?(?:\s+[\"'][^)]*)?\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s+<?(\S+?)>?\s*$", re.M)
_HTML = re.compile(r"<(?:a|img)\s[^>]*?(?:href|src)=[\"']([^\"']+)", re.I)


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name.endswith(DOCUMENTS)]
    return [path for path in paths if path.is_file()]


def prose(path: Path) -> str:
    """Markdown of a document without what is code in it; of a notebook its text cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", "", text, flags=re.M | re.S)
    return re.sub(r"(`+)[^`].*?\1", "code", text)


def links(path: Path) -> Iterator[str]:
    """Targets of all relative links and pictures."""
    text = prose(path)
    for pattern in (_LINK, _REFERENCE, _HTML):
        for target in pattern.findall(text):
            if not re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.I):
                yield unquote(target)


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings, and those that HTML in the page names."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: set[str] = set(re.findall(r"<[^>]+\s(?:id|name)=[\"']([^\"']+)", text))
    seen: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", text, flags=re.M):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def problem(document: Path, target: str) -> str | None:
    """Why a link leads nowhere."""
    name, _, anchor = target.partition("#")
    there = (document.parent / name).resolve() if name else document
    if not there.exists():
        return "no such file"
    if not there.is_relative_to(ROOT):
        return "outside of the repository"
    if there.is_dir():
        there /= "README.md"
    if anchor and there.suffix == ".md" and anchor not in anchors(there):
        return f"no heading #{anchor}"
    return None


def test_every_relative_link_and_anchor_leads_somewhere() -> None:
    wrong = [
        f"{document.relative_to(ROOT)}: {target}: {why}"
        for document in documents()
        for target in links(document)
        if (why := problem(document, target))
    ]
    assert wrong == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    known = set(documents())
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached:
            continue
        reached.add(document)
        for target in links(document):
            there = (document.parent / target.partition("#")[0]).resolve()
            there = there / "README.md" if there.is_dir() else there
            if there in known:
                waiting.append(there)
    # Templates that GitHub shows itself are no pages.
    missing = {path for path in known - reached if ".github" not in path.parts}
    assert sorted(str(path.relative_to(ROOT)) for path in missing) == []


def test_the_checker_sees_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c, d\n\n[x](#a-b-c-d) [y](#not-there) ![z](no.png 'title')\n\n```\n[code](gone.md)\n```\n`[c](d)`\n"
    )
    assert list(links(page)) == ["#a-b-c-d", "#not-there", "no.png"]
    assert anchors(page) == {"a-b-c-d"}
    assert problem(page, "no.png") == "no such file"
