"""The video analysis of the package fer, as its README shows it: ``python fer_video.py VIDEO FOLDER``; prints JSON.

Needs nothing of this project. Frames, annotated video and zip of pictures are turned off, the table is written.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def main() -> int:
    """Analyze, report."""
    from fer.classes import Video  # type: ignore[import-not-found]
    from fer.fer import FER  # type: ignore[import-not-found]

    detector = FER(mtcnn=False)
    video = Video(sys.argv[1], outdir=sys.argv[2], tempfile=None)
    began = time.perf_counter()
    raw = video.analyze(
        detector, display=False, save_frames=False, save_video=False, annotate_frames=False, zip_images=False
    )
    table = video.to_pandas(raw)
    table.to_csv(os.path.join(sys.argv[2], "table.csv"))  # noqa: PTH118
    seconds = time.perf_counter() - began
    report = {
        "version": metadata.version("fer"),
        "n_frames": len(raw),
        "analyze_s": seconds,
        "columns": list(table.columns),
    }
    sys.stdout.write("\n" + json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
