"""Model files and golden vectors as C source, for firmware without a file system."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.files import sha256_of, write_text
from fer_edge.labels import EMOTIONS

__all__ = ["ALIGNMENT", "write_c_array", "write_golden_arrays"]

ALIGNMENT: Final[int] = 16
"""Bytes; what TFLM and the Ethos-U driver ask of a model's address."""
_PER_LINE: Final[int] = 16
_LICENCE: Final[str] = (
    "SPDX-License-Identifier: Apache-2.0\n"
    "Written by fer-export of fer-edge-toolkit; the weights' licence is that of the network they were exported from\n"
    "(Apache-2.0 for the toolkit's own)."
)


def write_c_array(path: Path, name: str, *, note: str = "") -> tuple[Path, Path]:
    """Write ``NAME.h`` and ``NAME.cc`` beside a model file.

    Args:
        path: the model file.
        name: of the two files and of the array.
        note: what else the header says.

    Returns:
        Paths of ``.h`` and ``.cc``.
    """
    content = path.read_bytes()
    facts = [f"{path.name}: {len(content)} bytes, sha256 {sha256_of(path)}"] + ([note] if note else [])
    header = _header(
        name,
        facts,
        f"alignas({ALIGNMENT}) extern const unsigned char {name}[];\nextern const unsigned int {name}_len;\n",
    )
    values = _hexadecimal(content)
    source = (
        f'{_comment(facts)}\n#include "{name}.h"\n\n'
        f"alignas({ALIGNMENT}) const unsigned char {name}[] = {{\n{values}\n}};\n"
        f"const unsigned int {name}_len = {len(content)};\n"
    )
    return _write(path.parent, name, header, source)


def write_golden_arrays(
    folder: Path, name: str, tensors: npt.NDArray[np.int8], outputs: npt.NDArray[np.int8], *, note: str
) -> tuple[Path, Path]:
    """Write ``NAME.h`` and ``NAME.cc`` with golden vectors: what a device must compute, bit for bit.

    Args:
        folder: where to.
        name: of the two files and prefix of the arrays.
        tensors: ``(n, S, S, 3)`` int8 inputs.
        outputs: ``(n, 7)`` int8 outputs.
        note: what computed them.

    Returns:
        Paths of ``.h`` and ``.cc``.
    """
    n, size = len(tensors), int(np.prod(tensors.shape[1:]))
    facts = [f"{n} golden vectors: {note}"]
    prefix = name.upper()
    header = _header(
        name,
        facts,
        f"#define {prefix}_COUNT {n}\n#define {prefix}_INPUT_LEN {size}\n"
        f"#define {prefix}_OUTPUT_LEN {len(EMOTIONS)}\n\n"
        f"// Order of the outputs: {', '.join(EMOTIONS)}; probability = (value + 128) / 256.\n"
        f"extern const char *const {name}_emotions[{prefix}_OUTPUT_LEN];\n"
        f"alignas({ALIGNMENT}) extern const signed char {name}_inputs[{prefix}_COUNT][{prefix}_INPUT_LEN];\n"
        f"extern const signed char {name}_outputs[{prefix}_COUNT][{prefix}_OUTPUT_LEN];\n",
    )
    names = ", ".join(f'"{emotion}"' for emotion in EMOTIONS)
    source = (
        f'{_comment(facts)}\n#include "{name}.h"\n\n'
        f"const char *const {name}_emotions[{prefix}_OUTPUT_LEN] = {{{names}}};\n\n"
        f"alignas({ALIGNMENT}) const signed char {name}_inputs[{prefix}_COUNT][{prefix}_INPUT_LEN] = {{\n"
        + ",\n".join(f"    {{\n{_decimal(row.ravel())}\n    }}" for row in tensors)
        + f"\n}};\n\nconst signed char {name}_outputs[{prefix}_COUNT][{prefix}_OUTPUT_LEN] = {{\n"
        + ",\n".join(f"    {{{', '.join(map(str, row.tolist()))}}}" for row in outputs)
        + "\n};\n"
    )
    return _write(folder, name, header, source)


def _write(folder: Path, name: str, header: str, source: str) -> tuple[Path, Path]:
    paths = folder / f"{name}.h", folder / f"{name}.cc"
    for path, text in zip(paths, (header, source), strict=True):
        write_text(path, text)
    return paths


def _header(name: str, facts: list[str], declarations: str) -> str:
    guard = f"{name.upper()}_H_"
    return (
        f"{_comment(facts)}\n#ifndef {guard}\n#define {guard}\n\n"
        f'#ifndef __cplusplus\n#include <stdalign.h>\n#else\nextern "C" {{\n#endif\n\n{declarations}\n'
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif  // {guard}\n"
    )


def _comment(facts: list[str]) -> str:
    return "\n".join(f"// {line}" for line in [*_LICENCE.splitlines(), *facts]) + "\n"


def _hexadecimal(content: bytes) -> str:
    words = [f"0x{i:02x}" for i in range(256)]
    lines = (content[i : i + _PER_LINE] for i in range(0, len(content), _PER_LINE))
    return ",\n".join(",".join(words[byte] for byte in line) for line in lines)


def _decimal(values: npt.NDArray[Any]) -> str:
    numbers = [str(v) for v in values.tolist()]
    return ",\n".join("        " + ", ".join(numbers[i : i + _PER_LINE]) for i in range(0, len(numbers), _PER_LINE))
