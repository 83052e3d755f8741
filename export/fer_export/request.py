"""What to export and how to judge it, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fer_edge.errors import CheckFailedError
from fer_export.check.gate import (
    Limits,
    Verdict,
)
from fer_export.convert.class_order import ORDERS, OWN_ORDER
from fer_export.convert.qdq_graph import OnnxTarget
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import Evaluation
from fer_train.synthetic.faces import SYNTHETIC_SPLIT

__all__ = ["ExportRequest", "ExportResult", "GateFailedError", "GateReport", "Steps"]


@dataclass(frozen=True)
class ExportRequest:
    """What to export, how to judge it, where to put it."""

    weights: Path
    """A run folder of fer-train, a folder with weights, or a Keras model."""
    out: Path
    """Folder to write to."""
    split: Split
    """The faces to judge on; synthetic ones carry the name ``synthetic``."""
    representatives: Split
    """The faces on which post-training quantisation measures its ranges."""
    data: str = "synthetic faces"
    """What the faces are, for the reports."""
    data_fingerprint: str | None = None
    """Checksum of the data set, for the manifest; None for synthetic faces."""
    limits: Limits = field(default_factory=Limits)
    """What the gate demands."""
    onnx_target: OnnxTarget = "x86"
    """``x86`` for unsigned activations of the INT8 ONNX file, ``arm`` for signed ones."""
    with_coral: bool = False
    """Whether the rules of the Edge TPU are checked, and its compiler is run where it is installed."""
    force_ptq: bool = False
    """Whether INT8 is quantised after training even where there is a QAT network."""
    input_range: str = "ours"
    """For a model from elsewhere: what it was trained on, a key of ``keras_model.INPUT_RANGES``."""
    order: tuple[int, ...] = ORDERS[OWN_ORDER]
    """For a model from elsewhere: the emotion (0..6) that each output stands for."""
    input_size: int | None = None
    """For a model from elsewhere that leaves it open: side of its input, in pixels."""
    allow_chance: bool = False
    """Whether a network that is no better than chance may be exported, to try the tools with untrained weights."""
    threads: int = 1
    """CPU threads of the runtimes."""
    with_nchw: bool = False
    """Whether ``fer_float_nchw.onnx`` and faces to calibrate on are written, for tools that quantise by themselves."""
    targets: tuple[str, ...] = ()
    """Names of the chips that the INT8 network is exported to as well, see ``fer_export.targets``."""
    weights_name: str | None = None
    """What reports call the weights, instead of their path."""

    @property
    def origin(self) -> str:
        """The weights as reports call them."""
        return self.weights_name or str(self.weights)

    @property
    def labelled(self) -> bool:
        """Whether accuracy on the split means anything."""
        return self.split.name != SYNTHETIC_SPLIT


@dataclass(frozen=True)
class ExportResult:
    """A finished export; ``files`` lie in the output folder."""

    files: tuple[Path, ...]
    """What was written, the manifest last."""
    rows: list[list[str]]
    """Table of the four models, header first."""
    verdict: Verdict
    """Of the gate: passed, perhaps with remarks."""
    coral_rows: list[list[str]] | None
    """Table of the Edge TPU's operators, header first; None when it was not asked for."""
    coral_summary: str
    """One line on the Edge TPU; empty when it was not asked for."""
    evaluations: dict[str, Evaluation]
    """Of every model file on the split that was judged on."""
    target_rows: list[list[str]] | None = None
    """Table of the targets, header first; None where none was asked for."""


@dataclass(frozen=True)
class GateReport:
    """What a failed gate found; carried by :class:`GateFailedError`."""

    rows: list[list[str]]
    """Table of the four models, header first."""
    verdict: Verdict
    """What failed, and remarks."""
    coral_rows: list[list[str]] | None
    """Table of the Edge TPU's operators, header first; None when it was not asked for."""
    way_on: str = ""
    """What the user can do about it, a sentence."""
    target_rows: list[list[str]] | None = None
    """Table of those targets that could be converted, header first; None where none was reached."""


class GateFailedError(CheckFailedError):
    """The models are not good enough; nothing was written. ``report`` holds table and failures.

    Args:
        report: what failed.
    """

    def __init__(self, report: GateReport) -> None:
        self.report = report
        way_on = f". What to do: {report.way_on}" if report.way_on else ""
        super().__init__(f"the gate failed, no file was written: {'; '.join(report.verdict.failures)}{way_on}")


class Steps:
    """Progress: :meth:`begin` names a step, :meth:`advance` counts within it. This one is silent."""

    def begin(self, name: str, total: int | None = None) -> None:
        """A step starts.

        Args:
            name: of the step.
            total: its length where it can be counted, else None.
        """

    def advance(self, done: int) -> None:
        """The running step has come further.

        Args:
            done: of its total.
        """
