"""The table for a model card, from what ``fer-bench robustness --json`` writes."""

from __future__ import annotations

from typing import Any

from fer_bench.robustness.terminal import STRENGTH_HEADINGS

__all__ = ["markdown"]


def markdown(content: dict[str, Any]) -> str:
    """One table with all models: accuracy in percent per kind and strength, and the means below.

    Args:
        content: the JSON file's, or :func:`dataclasses.asdict` of a report.

    Returns:
        Markdown with a final newline.
    """
    models = content["models"]
    several = len(models) > 1
    head = ["disturbance", "strengths", *(["model"] if several else []), *STRENGTH_HEADINGS, "mean"]
    lines = [_row(head), _row(["---", "---", *(["---"] if several else []), *["---:"] * 4])]

    def add(title: str, strengths: str, cells: list[list[str]]) -> None:
        for place, (model, answers) in enumerate(zip(models, cells, strict=True)):
            first = [title, strengths] if place == 0 else ["", ""]
            lines.append(_row([*first, *([model["name"]] if several else []), *answers]))

    add("none (clean)", "", [["", "", "", _percent(model["clean"])] for model in models])
    for kind in content["kinds"]:
        amounts = ", ".join(f"{amount:g}" for amount in kind["amounts"])
        rows = []
        for model in models:
            answers = [answer for answer in model["answers"] if answer["kind"] == kind["name"]]
            mean = sum(answer["accuracy"] for answer in answers) / len(answers)
            rows.append([*map(_percent, answers), f"{100 * mean:.1f}"])
        add(kind["title"] + (" \\*" if kind["held_out"] else ""), f"{amounts} {kind['unit']}", rows)
    for key, title in (("mean", "all"), ("mean_held_out", "\\* held out of training"), ("mean_others", "the others")):
        if all(model[key] for model in models):
            add(title, "", [["", "", "", f"**{_percent(model[key])}**"] for model in models])
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(answer: dict[str, Any]) -> str:
    low, high = answer["accuracy_ci95"]
    return f"{100 * answer['accuracy']:.1f} ± {50 * (high - low):.1f}"
