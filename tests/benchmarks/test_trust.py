"""Timings that are not to be trusted are said once, in words."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from tests.benchmarks.report_examples import a_report, a_result

from fer_bench.report.terminal import print_report
from fer_bench.report.trust import PLAIN_WORDS, plain_sentence, untrusted_sentence

BUSY = "busy neighbour: other processes used 1.20 CPUs (limit 0.2)"


def printed(*valid: bool) -> str:
    results = [
        a_result(model=f"m{n}.tflite") if ok else a_result(model=f"m{n}.tflite", valid=False, invalid_reasons=[BUSY])
        for n, ok in enumerate(valid)
    ]
    out = io.StringIO()
    print_report(a_report(results), Console(file=out, width=140))
    return out.getvalue()


def test_nothing_is_said_of_valid_times() -> None:
    assert untrusted_sentence([("a", []), ("b", [])]) == plain_sentence([("a", [])]) == ""
    assert "rely" not in printed(True, True)


def test_one_sentence_for_all_and_no_column() -> None:
    text = printed(False, False)
    assert text.count("Do not rely on these times: busy neighbour: other processes used 1.20 CPUs") == 1
    assert not re.search(r"\b(NO|no|valid)\b", text.split("Do not rely")[0])


def test_where_they_differ_each_row_says_which_it_is() -> None:
    text = printed(True, False)
    assert "Do not rely on the times of m1.tflite on litert: busy neighbour" in text
    assert len(re.findall(r"m0\.tflite .* yes\s", text)) == len(re.findall(r"m1\.tflite .* no\s", text)) == 2


def test_figures_of_one_kind_are_given_once() -> None:
    reasons = [("a", ["too noisy: 5 %", BUSY]), ("b", ["too noisy: 9 %"])]
    assert untrusted_sentence(reasons) == f"Do not rely on these times: too noisy: 5 %; {BUSY}."
    assert plain_sentence(reasons) == "These times are rough: they varied too much, other programs used the processor."


def test_plain_words_are_known_for_each_kind_of_reason() -> None:
    """Kinds are the beginnings of the reasons in validity.py; the advice on the governor is plain as it is."""
    import fer_bench.measure.validity

    source = Path(str(fer_bench.measure.validity.__file__)).read_text(encoding="utf-8")
    kinds = re.findall(r"(?<!\")\"([A-Za-z][a-zA-Z -]+): ", source)
    assert {"busy neighbour", "busy host", "too short", "too noisy", "drift", "interrupted", "throttled"} <= set(kinds)
    ratios = {"ratio drifts"}
    assert set(kinds) - set(PLAIN_WORDS) - ratios == set()
