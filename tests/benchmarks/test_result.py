"""The schema: what is written can be read, what is malformed is refused in one line, and every number has a unit."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.report_examples import a_report, a_result

from fer_bench.schema import parse_report, read_report, write_report
from fer_edge.errors import InputError


def test_what_is_written_is_read_back_unchanged(tmp_path: Path) -> None:
    report = a_report([a_result(), a_result(model="b.tflite", valid=False, invalid_reasons=["too short: 3 runs"])])
    write_report(report, tmp_path / "r.json")
    assert read_report(tmp_path / "r.json") == report


def test_keys_of_the_contract_are_there() -> None:
    result = json.loads(a_report([a_result()]).as_json())["results"][0]
    contract = {
        "model", "backend", "latency_ms", "load_ms", "peak_rss_mib", "throughput_fps", "accuracy", "n_images", "split",
        "valid", "invalid_reasons",
    }  # fmt: skip
    assert contract <= result.keys()
    assert {"min", "p50", "p90", "p99"} <= result["latency_ms"].keys()


def test_unknown_keys_are_welcome() -> None:
    content = json.loads(a_report([a_result()]).as_json())
    content["later"] = {"x_ms": 1}
    content["results"][0]["also_later_ms"] = 2
    assert parse_report(json.dumps(content), "r.json") == a_report([a_result()])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), [1], 'expected "schema": "fer-bench/1", found \'list\''),
        (("schema",), "fer-bench/99", 'expected "schema": "fer-bench/1", found \'fer-bench/99\''),
        (("machine",), None, "machine: expected an object, found null"),
        (("machine", "n_cpus"), "two", 'machine.n_cpus: expected int, found "two"'),
        (("machine", "n_cpus"), True, "machine.n_cpus: expected int, found true"),
        (("results",), {}, "results: expected a list, found dict"),
        (("results", 0, "load_ms"), None, "results[0].load_ms: expected float, found null"),
        (("results", 0, "load_ms"), -1.0, "results[0].load_ms: expected no negative number, found -1.0"),
        (("results", 0, "load_ms"), float("nan"), 'results[0].load_ms: expected float, found "NaN"'),
        (("results", 0, "latency_ms", "p50"), 99.0, "results[0].latency_ms: expected 0 < min <= p50"),
        (("results", 0, "valid"), False, "results[0]: valid is False, but invalid_reasons is []"),
        (("results", 0, "invalid_reasons"), ["noisy"], "results[0]: valid is True, but invalid_reasons is ['noisy']"),
        (("results", 0, "latency_quantiles_ms"), [1.0], "results[0].latency_quantiles_ms: expected 101 rising numbers"),
        (("results", 0, "round_p50_ms"), [], "results[0].round_p50_ms: expected at least one round"),
        (("results", 0, "accuracy"), 67.1, "results[0].accuracy: expected a fraction in [0, 1], found 67.1"),
        (("results", 0, "n_images"), None, "results[0]: an accuracy needs n_images and split"),
        (("results", 0, "accuracy_ci95"), [0.9, 0.1], "expected confidence intervals as [low, high]"),
    ],
)
def test_malformed_files_are_refused_in_one_line(path: tuple[Any, ...], value: Any, message: str) -> None:
    content: Any = json.loads(a_report([a_result()]).as_json())
    if path:
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    else:
        content = value
    with pytest.raises(InputError) as caught:
        parse_report(json.dumps(content), "r.json")
    assert message in str(caught.value)
    assert "r.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["created_utc", "machine", "results"])
def test_missing_keys_are_named(key: str) -> None:
    content = json.loads(a_report([a_result()]).as_json())
    del content[key]
    with pytest.raises(InputError, match=f"r.json: {key} is missing"):
        parse_report(json.dumps(content), "r.json")


def test_invalid_measurement_has_no_ratio() -> None:
    content = json.loads(a_report([a_result(valid=False, invalid_reasons=["noisy"], ratio_to_float=0.5)]).as_json())
    with pytest.raises(InputError, match="an invalid measurement has no ratio"):
        parse_report(json.dumps(content), "r.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"[]", 'expected "schema"'),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_report(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_report(tmp_path / "none.json")


def test_malformed_report_is_not_written(tmp_path: Path) -> None:
    broken = dataclasses.replace(a_result(), load_ms=-1.0)
    with pytest.raises(InputError):
        write_report(a_report([broken]), tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []


UNIT = re.compile(r"_(ms|s|mib|bytes|fps|percent|px|c|mhz|cpus)$")
DIMENSIONLESS = re.compile(r"^(n_|accuracy|agreement|share_|ratio_|threads$|seed$)")


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that lead to each number."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def test_every_number_says_its_unit_in_its_key() -> None:
    content = json.loads(a_report([a_result()]).as_json())
    paths = set(numbers(content))
    assert len(paths) > 30
    for path in paths:
        assert any(UNIT.search(key) or DIMENSIONLESS.search(key) or key.endswith("_per_model") for key in path), path
