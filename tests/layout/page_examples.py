"""Every HTML page of the toolkit, filled with names that try to become markup and with long ones."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from tests.benchmarks.report_examples import a_report, a_result

from fer_bench.schema import AgeMs, EndToEnd, OperatorProfile, Profile, SoakSample
from fer_edge.labels import EMOTIONS
from fer_export.check.arithmetic import Arithmetic
from fer_export.check.gate import Comparison, Verdict
from fer_export.check.layer_error import LayerError
from fer_export.describe.report import ReportData
from fer_export.file_names import MODEL_FILES
from fer_train.audit.checks import audit
from fer_train.audit.crowd_agreement import VoteAudit
from fer_train.data.dataset import Dataset, Split
from fer_train.evaluation.evaluate import Evaluation
from fer_train.synthetic.faces import synthetic_split

EVIL = "<script>alert('x')</script>&\"" + "a_long_name_without_a_gap_" * 6


def audit_page() -> str:
    """An audit whose file names are hostile, with copies, a conflict, votes and a file that cannot be read."""
    import dataclasses

    from fer_train.audit.html_report import render_report

    drawn = synthetic_split(4, 0, name="train")
    images = np.concatenate([drawn.images, *[drawn.images[:1]] * 9])
    names = (*drawn.names, *(f"train/angry/{EVIL}{i}.png" for i in range(9)))
    split = Split("train", images, np.append(drawn.labels, [0] * 8 + [3]), names)
    dataset = Dataset(Path(EVIL), {"train": split}, ((EVIL, EVIL),), "0" * 64, sizes={EVIL: 3})
    votes = VoteAudit(
        9, 9, 9, 0.5, 0.4, dict.fromkeys(EMOTIONS, 0.5), np.arange(70).reshape(7, 10), 1, np.array([]), ()
    )
    return render_report(dataclasses.replace(audit(dataset), votes=votes))


def export_page() -> str:
    """An export report with every table."""
    from fer_export.describe.report import page

    rng = np.random.default_rng(0)
    labels = np.arange(70) % 7
    probabilities = rng.dirichlet(np.ones(7), 70).astype(np.float32)
    evaluation = Evaluation("validation", probabilities, labels)
    other = Evaluation("validation", np.roll(probabilities, 1, axis=1), labels)
    pair = Comparison(evaluation, other)
    return page(
        ReportData(
            title=EVIL,
            facts={"weights": EVIL, EVIL: "versions"},
            labelled=True,
            sizes=dict.fromkeys(MODEL_FILES, 2_700_000),
            comparisons=dict.fromkeys(MODEL_FILES, pair),
            onnx_twin=pair,
            arithmetic=Arithmetic(pair, pair),
            verdict=Verdict((EVIL,), (EVIL,)),
            layers=[LayerError(1, EVIL, (1, 48, 48, 32), 40.0, None, 0.1)],
            networks={},
            onnx_operators={EVIL: 3},
            coral=[["operator", "Edge TPU"], [EVIL, EVIL]],
            coral_summary=EVIL,
        )
    )


def bench_page() -> str:
    """A measurement with invalid timings, a profile, the whole pipeline and a soak."""
    from fer_bench.report.end_to_end import end_to_end_section
    from fer_bench.report.html_page import page
    from fer_bench.report.operator_profile import profile_section

    operators = [OperatorProfile(EVIL, [1, 48, 48, 32], 1000, 10.0)]
    profile = Profile(EVIL, EVIL, 1, EVIL, 12.0, operators, False, [EVIL])
    samples = [SoakSample(float(i), 100.0 - i, 5.0, 2.0, 100.0 + i, None, 2400.0) for i in range(9)]
    whole = EndToEnd(
        EVIL, EVIL, 1, EVIL, EVIL, 9, 9, 30.0, [30.0], {"capture": 1.0, EVIL: 5.0}, AgeMs(9.0, 10.0, 11.0), 0, 500.0,
        100.0, False, [EVIL], samples,
    )  # fmt: skip
    results = [
        a_result(model=EVIL, valid=False, invalid_reasons=[f"{EVIL}: one"]),
        a_result(3.0, model=EVIL, valid=False, invalid_reasons=[f"{EVIL}: two"]),
    ]
    return page(a_report(results, end_to_end=[whole]), [profile_section(profile), end_to_end_section([whole])])


def demo_page() -> str:
    """What ``make demo`` ends with, of models with hostile names on a busy machine."""
    from fer_bench.measure.accuracy import load_faces
    from fer_bench.report.demo_page import demo_page as make
    from fer_bench.report_file import write_report

    results = [
        a_result(model=f"{EVIL}{n}", valid=False, invalid_reasons=[f"busy neighbour: {n} CPUs", "too short: 3 runs"])
        for n in range(4)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_report(a_report(results), folder / "bench.json")
        entries = {result.model: {"top1_agreement_with_float": 0.974} for result in results}
        (folder / "manifest.json").write_text(json.dumps({"models": entries}))
        shutil.copy(Path(__file__).parents[2] / "models/fer_int8.tflite", folder)
        return make(folder, load_faces(None, "validation"))
