"""Is the export right? Accuracy gate, contract, fusion, Edge TPU rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_export.check.arithmetic import Arithmetic, check_arithmetic, compare_arithmetic
    from fer_export.check.contract import check_contract
    from fer_export.check.edgetpu_compiler import Compilation, compile_model, find_compiler
    from fer_export.check.edgetpu_rules import CoralReport, OperatorVerdict, check_edgetpu_rules
    from fer_export.check.gate import (
        Comparison,
        Limits,
        Verdict,
        accepting_options,
        check_quantized,
        check_same_network,
        merge,
    )
    from fer_export.check.layer_error import LayerError, layer_errors
    from fer_export.check.onnx_fusion import fusion_problems, optimized_operators
    from fer_export.check.plausible import Reading, better_reading, ignores_its_input, knows_nothing

__all__ = [
    "Arithmetic",
    "Comparison",
    "Compilation",
    "CoralReport",
    "LayerError",
    "Limits",
    "OperatorVerdict",
    "Reading",
    "Verdict",
    "accepting_options",
    "better_reading",
    "check_arithmetic",
    "check_contract",
    "check_edgetpu_rules",
    "check_quantized",
    "check_same_network",
    "compare_arithmetic",
    "compile_model",
    "find_compiler",
    "fusion_problems",
    "ignores_its_input",
    "knows_nothing",
    "layer_errors",
    "merge",
    "optimized_operators",
]

_HOMES: Final[dict[str, str]] = {
    "Arithmetic": "fer_export.check.arithmetic",
    "check_arithmetic": "fer_export.check.arithmetic",
    "compare_arithmetic": "fer_export.check.arithmetic",
    "check_contract": "fer_export.check.contract",
    "Compilation": "fer_export.check.edgetpu_compiler",
    "compile_model": "fer_export.check.edgetpu_compiler",
    "find_compiler": "fer_export.check.edgetpu_compiler",
    "CoralReport": "fer_export.check.edgetpu_rules",
    "OperatorVerdict": "fer_export.check.edgetpu_rules",
    "check_edgetpu_rules": "fer_export.check.edgetpu_rules",
    "Comparison": "fer_export.check.gate",
    "Limits": "fer_export.check.gate",
    "Verdict": "fer_export.check.gate",
    "accepting_options": "fer_export.check.gate",
    "check_quantized": "fer_export.check.gate",
    "check_same_network": "fer_export.check.gate",
    "merge": "fer_export.check.gate",
    "LayerError": "fer_export.check.layer_error",
    "layer_errors": "fer_export.check.layer_error",
    "fusion_problems": "fer_export.check.onnx_fusion",
    "optimized_operators": "fer_export.check.onnx_fusion",
    "Reading": "fer_export.check.plausible",
    "better_reading": "fer_export.check.plausible",
    "ignores_its_input": "fer_export.check.plausible",
    "knows_nothing": "fer_export.check.plausible",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
