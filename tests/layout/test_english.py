"""Documents, docstrings, help and messages are written in the words of the field.

codespell and proselint (``make prose``) find misspellings and worn phrases. This test finds what neither knows: idioms
that were translated word by word, and two words for one thing. Messages are what people paste into a search engine.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final[Path] = Path(__file__).parents[2]
PRODUCT: Final[tuple[str, ...]] = ("edge/*.py", "train/*.py", "export/*.py", "benchmarks/*.py")
PER: Final[str] = (
    "campaign|reader|machine|file|camera|host|round|second|minute|hour|day|frame|image|face|class|model|process|epoch|step|batch|row|line|pixel"
)

COUNTED: Final[str] = (
    "ms|MiB|GiB|MB|GB|kB|bytes|inputs|images|(?<!by )frames|faces|inferences|steps|times|once|ones?|rows?|lists?|"
    "lines?|(?:JSON )?files?"
)
THINGS: Final[str] = "number|picture|image|file|video|array|option|terminal|list|tar|class|folder|guess|such|TOML|JSON"

FAULTS: Final[dict[str, str]] = {
    rf"\b(?:{COUNTED}) an? (?:{PER})\b(?! as)": "per",
    rf"\b(?<!there )(?:is|was|are|were) no (?:{THINGS}|reason to|\w+ model|readable)\w*\b": "is not a",
    r"\bfor so (?:long|many)\b|\b(?:after|of|at most|every|than) so many\b|^So many (?!faces)": "this many, longer",
    r"\b(?:is|are|was|were|be|not|each|and) told\b(?! apart)|\btold (?:at )?once\b|\bunless told\b": "reported",
    r"\b(?:which|that|note|is|was) said\b(?! to\b)": "reported, stated",
    r"\bbehind (?:it|them|the (?:end|layer|header|part|last|network|BatchNorm)|an? address)\b": "after; at an address",
    r"\b(?:near|exact|extra|conflicting) copies\b": "duplicates, near-duplicates",
    r"(?i)\bdrawn (?:faces?|scenes?|people|persons?|pictures?)\b": "synthetic",
    r"(?i)\bnear (?:duplicates?|copy|copies)\b": "near-duplicates",
    r"(?i)\bcalibrated (?:network|on|only|before|INT8|to INT8|a second)\b": "with measured ranges",
    r"\banew\b": "again",
    r"\bfor ever\b": "forever",
    r"\bpixels up\b(?! to)": "of N pixels or more",
    r"\b(?:is|are|has|have|no|nobody) (?!there)(?:\w+ )?any more\b|\bnot any more\b": "no longer",
    r"\bcomes? along\b|\bbites its tail\b|\bin the midst\b|\bpassed over\b": "plain words",
    r"\bin use and end\b|\bends? after (?:N|so|this)\b": "exit, stop",
    r"\bmay(?: also)? stand\b|\balso stand\b|\bstands? (?:in the (?:field|table)|on the command|here)\b": "is in",
}
ALLOWED: Final[tuple[str, ...]] = (
    "*duplicates* (not copies)",  # CONTRIBUTING.md names the word to avoid
)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def paragraphs(document: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each paragraph of Markdown, without code blocks."""
    prose = re.sub(r"^```.*?^```", lambda code: "\n" * code[0].count("\n"), document, flags=re.S | re.M)
    for found in re.finditer(r"(?:^.*\S.*$\n?)+", prose, flags=re.M):
        yield prose.count("\n", 0, found.start()) + 1, found[0]


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line number and text of every docstring and every other string with a space in it."""
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(pieces)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value


def faults(text: str) -> list[str]:
    """What is wrong with a text, and the better word."""
    flat = re.sub(r"\s+", " ", text).strip()
    for allowed in ALLOWED:
        flat = flat.replace(allowed, "")
    return [f"{found[0]!r}: {better}" for pattern, better in FAULTS.items() for found in re.finditer(pattern, flat)]


@pytest.mark.parametrize(
    "text",
    [
        "141 images a second",
        "0.63 ms a face",
        "one row an epoch",
        "{} is no Keras model",
        "files that are no readable images",
        "end after so many results",
        "A visitor who reads nothing for so long",
        "an older file is replaced, which is told",
        "the BatchNorm behind it",
        "1,532 extra copies",
        "a few drawn faces",
        "12 images with near duplicates",
        "Epoch 0 is the calibrated network",
        "open it anew",
        "stayed for ever",
        "faces from 24 pixels up",
        "the loss is no number any more",
        "images that also stand in train",
    ],
)
def test_each_idiom_is_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "a frame, an image, a class: once",
        "there is no model; no images match",
        "141 images per second",
        "copies the file; a copied folder",
        "mild cases are told apart",
        "so many faces that it gets slow",
        "an 8-bit image of a face is a row",
        "are there any more images?",
    ],
)
def test_plain_english_is_not_found(text: str) -> None:
    assert not faults(text)


def test_documents() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in tracked("*.md")
        for line, text in paragraphs(path.read_text(encoding="utf-8"))
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


def test_docstrings_help_and_messages() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in tracked(*PRODUCT)
        for line, text in texts(path.read_text(encoding="utf-8"))
        if " " in text
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)
