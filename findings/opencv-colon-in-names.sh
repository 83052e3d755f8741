#!/usr/bin/env bash
# cv2.VideoCapture and cv2.VideoWriter hand a relative file name to FFmpeg as an address: what stands before the first
# colon is a protocol. So recordings named by their time (2026-11-29T12:30:05.mp4) are neither read nor written, without
# a message, though cv2.imread takes such names and ./2026-11-29T12:30:05.mp4 works; an underscore before the colon
# (2026-11-29_12:30:05.mp4) hides it, as protocols hold none. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python-headless==4.14.0.94" "numpy==2.4.6"
cat >"$work/show.py" <<'PY'
import os, shutil, sys
os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
import cv2, numpy as np

picture = np.full((48, 64, 3), 120, np.uint8)
fourcc = cv2.VideoWriter.fourcc(*"mp4v")
writer = cv2.VideoWriter("plain.mp4", cv2.CAP_FFMPEG, fourcc, 10.0, (64, 48))
for _ in range(5):
    writer.write(picture)
writer.release()
print("OpenCV", cv2.__version__)
found = {}
for name in ("2026-11-29T12:30:05.mp4", "2026-11-29_12:30:05.mp4"):
    shutil.copy("plain.mp4", name)
    for given in (name, f"./{name}"):
        found[given] = cv2.VideoCapture(given, cv2.CAP_FFMPEG).isOpened()
        print(f"VideoCapture({given!r}): {found[given]}")
written = {}
for name in ("12:30.mp4", "./12:30.mp4"):
    written[name] = cv2.VideoWriter(name, cv2.CAP_FFMPEG, fourcc, 10.0, (64, 48)).isOpened()
    print(f"VideoWriter({name!r}): {written[name]}")
cv2.imwrite("12:30.png", picture)
image = cv2.imread("12:30.png") is not None
print(f"imread('12:30.png'): {image}")
wanted = [False, True, True, True]
sys.exit(0 if list(found.values()) == wanted and list(written.values()) == [False, True] and image else 1)
PY
cd "$work" && "$work/venv/bin/python" "$work/show.py"
