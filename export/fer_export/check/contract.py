"""The contract of an exported model: its input and its output tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from fer_edge.errors import ModelError
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.preprocess import INPUT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO_POINT

__all__ = ["check_contract"]


def check_contract(classifier: ClassifierBase | Any) -> None:
    """Check that the ends of a quantised model are those of the contract; a float model passes.

    int8 with scale 1/128 and zero point 0 in, int8 with scale 1/256 and zero point -128 out.

    Args:
        classifier: the opened model.

    Raises:
        ModelError: its input or output is quantised otherwise.
    """
    name, input_spec, output_spec = classifier.model_path.name, classifier.input_spec, classifier.output_spec
    if not input_spec.is_quantized:
        return
    if (input_spec.dtype, input_spec.scale, input_spec.zero_point) != (np.int8, INPUT_SCALE, 0):
        raise ModelError(
            f"{name}: the input is {input_spec.dtype} with scale {input_spec.scale:.8g} and zero point "
            f"{input_spec.zero_point}; the contract is int8, 1/128 and 0 (pin the input range to [-1, 127/128])"
        )
    if (output_spec.dtype, output_spec.scale, output_spec.zero_point) != (np.int8, OUTPUT_SCALE, OUTPUT_ZERO_POINT):
        raise ModelError(
            f"{name}: the output is {output_spec.dtype} with scale {output_spec.scale:.8g} and zero point "
            f"{output_spec.zero_point}; the contract is int8, 1/256 and -128: does the network end in a softmax?"
        )
