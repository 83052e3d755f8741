"""What preprocessing and a model compute on this processor, as checksums: run natively and on emulated Arm, compared.

Prints one JSON object. Needs fer_edge and a TFLite runtime; runs on Python 3.10 and newer, numpy 1 and 2.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import platform
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.app import cli
from fer_edge.inference.tensors import to_model_input
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import preprocess_face

N_FACES = 24


def draw_frames(n: int) -> list[tuple[npt.NDArray[np.uint8], tuple[int, int, int, int]]]:
    """Blocks of random colours under noise, ``(H, W, 3)``, with boxes of all sizes, some beyond the frame."""
    rng = np.random.default_rng(2013)
    drawn = []
    for i in range(n):
        height, width = (int(v) for v in rng.integers(60, 500, 2))
        blocks = rng.integers(0, 200, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
        frame = blocks.repeat(12, axis=0).repeat(12, axis=1)[:height, :width]
        frame = frame + rng.integers(0, 56, frame.shape, dtype=np.uint8)
        w, h = int(rng.integers(20, width)), int(rng.integers(20, height))
        x, y = int(rng.integers(-10, width - w + 10)), int(rng.integers(-10, height - h + 10))
        drawn.append((frame, (x, y, w, h) if i % 6 else (0, 0, width, height)))
    return drawn


def sha256(array: npt.NDArray[Any]) -> str:
    """Of the array's bytes, in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def reference_outputs(content: bytes, tensors: npt.NDArray[Any], package: str) -> npt.NDArray[Any]:
    """``(N, 7)`` int8 by the runtime's plain C++ reference kernels, which are the same on every processor."""
    module = importlib.import_module(f"{package}.interpreter")
    resolver = module.OpResolverType.BUILTIN_REF
    interpreter = module.Interpreter(model_content=content, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    entry, leave = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    for tensor in tensors:
        interpreter.set_tensor(entry, tensor[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(leave)[0])
    return np.stack(outputs)


def without_softmax(content: bytes) -> bytes:
    """The model up to its final SOFTMAX, which alone computes with floats and may differ by a step."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.outputs, graph.operators = [int(graph.operators[-1].inputs[0])], graph.operators[:-1]
    model.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def logits(content: bytes, tensors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(N, 7)`` int8 of a model made by :func:`without_softmax`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    entry, leave = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for tensor in tensors:
        interpreter.set_tensor(entry, tensor[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(leave)[0])
    return np.stack(found)


def detector_results(model: str) -> dict[str, Any]:
    """What YuNet in INT8 computes: its file, maps of blocks of noise, shrunken views and the faces in them."""
    from fer_edge.faces.detection import shrink
    from fer_edge.faces.detectors.yunet import YuNetDetector
    from fer_edge.faces.yunet_engines import Int8Engine, yunet_tflite
    from fer_edge.verification.detector import read_detector_golden

    engine = Int8Engine(Path(model), 0.5)
    maps = [values for frame, _ in draw_frames(6) for values in engine.maps(frame)]
    # Large and of odd sizes, so that a camera's frame is halved and then resized linearly, as it is in use.
    large = [view.repeat(9, axis=0).repeat(9, axis=1) for view in read_detector_golden().views]
    views = [shrink(picture, 150 + 11 * i) for i, picture in enumerate(large)]
    detector = YuNetDetector(model, engine="litert-int8")
    faces = [face for picture in large for face in detector.detect(picture)]
    return {
        "file_sha256": hashlib.sha256(yunet_tflite(Path(model), "int8")).hexdigest(),
        "maps_sha256": sha256(np.concatenate([values.reshape(-1) for values in maps])),
        "views_sha256": sha256(np.concatenate([view.reshape(-1) for view in views])),
        "faces": [[list(face.box), face.score, np.asarray(face.landmarks).tolist()] for face in faces],
    }


def main() -> int:
    """Compute, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="as fer-camera --model; default: the one in the package")
    parser.add_argument("--write-logits-model", type=Path, metavar="F", help="write the model without SOFTMAX, use it")
    parser.add_argument("--logits-model", type=Path, metavar="F", help="such a file")
    parser.add_argument("--reference", action="store_true", help="also outputs of the reference kernels")
    parser.add_argument("--detector-model", metavar="F", help="YuNet's .onnx; also what the detector computes")
    options = parser.parse_args()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(
            ["--verify"]
            + (["--model", options.model] if options.model else [])
            + (["--detector", "yunet", "--detector-model", options.detector_model] if options.detector_model else [])
        )
    classifier = open_classifier(options.model)
    size = classifier.input_size
    faces = np.stack([preprocess_face(frame, size, box) for frame, box in draw_frames(N_FACES)])
    tensors = to_model_input(faces, classifier.input_spec)
    outputs = np.stack([classifier.infer(tensors[i : i + 1])[0] for i in range(len(tensors))])
    found = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "runtime": classifier.runtime_version,
        "verify_exit": code,
        "verify_said": said.getvalue().strip().splitlines(),
        "n_faces": len(faces),
        "faces_sha256": sha256(faces),
        "tensors_sha256": sha256(tensors),
        "outputs": outputs.tolist(),
        "logits_sha256": None,
        "detector": None,
    }
    content = Path(classifier.model_path).read_bytes()
    if options.write_logits_model:
        options.write_logits_model.write_bytes(without_softmax(content))
    cut = options.write_logits_model or options.logits_model
    if cut:
        found["logits_sha256"] = sha256(logits(cut.read_bytes(), tensors))
    if options.detector_model:
        found["detector"] = detector_results(options.detector_model)
    if options.reference:
        package = "ai_edge_litert" if classifier.backend == "litert" else "tflite_runtime"
        found["reference_outputs"] = reference_outputs(content, tensors, package).tolist()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
