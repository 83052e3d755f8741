"""The HTML pages: nothing in them is taken for markup, nothing is loaded from elsewhere, and they fit a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.layout.page_examples import EVIL, audit_page, bench_page, demo_page, export_page

from fer_edge.html import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = (390, 844)
PAGES: dict[str, Callable[[], str]] = {
    "audit": audit_page,
    "export": export_page,
    "bench": bench_page,
    "demo": demo_page,
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: make() for name, make in PAGES.items()}


@pytest.mark.parametrize("name", PAGES)
def test_what_is_shown_never_becomes_markup(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    assert "<script" not in text
    # It is there, as text; matplotlib writes XML and leaves quotes as they are.
    assert html.escape(EVIL, quote=False)[:30] in text or "&lt;script&gt;alert(&#39;x&#39;)" in text
    assert "&amp;lt;" not in text  # escaped once, not twice


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone_and_has_the_common_style(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    assert text.startswith("<!doctype html>")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    style = Path(__file__).parents[2] / "edge/fer_edge/html/style.css"
    assert style.read_text(encoding="utf-8").strip() in text
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S))


def test_the_audit_page_has_one_word_for_duplicates(pages: dict[str, str]) -> None:
    shown = re.sub(r'(?:id|href)="[^"]*"', "", pages["audit"])  # anchors are keys of the JSON
    assert not re.search(r"\bcopies\b|_copies", shown) and "extra duplicates" in shown


def widths(texts: list[str], folder: Path) -> list[int]:
    """Width of each document in pixels when it is shown on a phone."""
    # Frames, since a window of Chromium itself cannot be as narrow; all in one start.
    wide, high = PHONE
    frames = [
        f'<iframe width={wide} height={high} style="border:0" srcdoc="{html.escape(text)}"></iframe>' for text in texts
    ]
    script = (
        "onload=()=>{document.body.dataset.widths=[...document.querySelectorAll('iframe')]"
        ".map(f=>f.contentDocument.documentElement.scrollWidth).join(' ')}"
    )
    path = folder / "phone.html"
    path.write_text(f"<!doctype html>{''.join(frames)}<script>{script}</script>", encoding="utf-8")
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = re.search(r'data-widths="([\d ]+)"', done.stdout)
    assert found, done.stderr
    return [int(width) for width in found[1].split()]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_pages_do_not_scroll_sideways_on_a_phone(pages: dict[str, str], tmp_path: Path) -> None:
    too_wide = '<!doctype html><div style="width:600px">wide</div>'
    control, *found = widths([too_wide, *pages.values()], tmp_path)
    assert control > 600  # the measurement would see it
    assert [name for name, width in zip(pages, found, strict=True) if width > PHONE[0]] == []


def test_a_template_that_is_not_given_a_value_fails(tmp_path: Path) -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("fer_edge.html", "base.html")


def test_the_demo_shows_faces_answers_models_and_says_once_why_times_are_rough(pages: dict[str, str]) -> None:
    text = pages["demo"]
    assert text.count('<figure class="face">') == 14
    assert text.count("97.4%") == 4  # agreement of each model
    assert text.count("These times are rough: other programs used the processor, too few were taken.") == 1
    assert "NO" not in re.sub(r"base64,[^\"]+", "", text)
    right = re.search(r"<p>(\d+) of 14 answered as labelled", text)
    assert right and int(right[1]) == text.count('class="mark yes"') >= 9  # 79 % on synthetic faces, on average


def test_make_demo_ends_with_the_page() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make here")
    root = Path(__file__).parents[2]
    for variable in ("", "FER2013=/d/fer2013.zip"):
        listed = subprocess.run(
            [make, "--no-print-directory", "-n", "demo", variable or "A=1"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        last = listed.stdout.strip().splitlines()[-1]
        assert "fer-bench demo --out out" in last
        assert ("--data '/d/fer2013.zip' --split validation" in last) == bool(variable)


def test_the_demo_page_says_in_one_line_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_bench.cli import demo

    assert demo(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "bench.json" in error and len(error.strip().splitlines()) == 1


def test_without_jinja_a_page_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fer_bench.cli import main as bench
    from fer_train.commands.data import main as data

    monkeypatch.setitem(sys.modules, "jinja2", None)
    # The data set does not exist: that would be told first if the page were thought of last.
    assert data(["audit", "--data", str(tmp_path / "none"), "--html", str(tmp_path / "a.html")]) == 3
    assert "jinja2" in capsys.readouterr().err
    assert bench(["--model", "x@fake", "--html", str(tmp_path / "b.html")]) == 3
    assert "jinja2" in capsys.readouterr().err
