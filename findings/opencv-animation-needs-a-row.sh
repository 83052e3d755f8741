#!/usr/bin/env bash
# cv2.imdecodeanimation takes the bytes of an animated GIF or PNG as the usual 1-D numpy array, and refuses an animated
# WebP given in the same way (assertion data.rows == 1, logged, and False): a 1-D array becomes a column. cv2.imdecode
# takes the same array. As one row, reshape(1, -1), it works. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python==4.14.0.94" "numpy==2.4.6"
cat >"$work/show.py" <<'PY'
import os, sys
os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
import cv2, numpy as np

moving = cv2.Animation()
moving.frames = [np.full((48, 64, 3), grey, np.uint8) for grey in (10, 120, 240)]
moving.durations = np.full(3, 100, np.int32)
print("OpenCV", cv2.__version__)
found = {}
for suffix in (".gif", ".png", ".webp"):
    content = np.frombuffer(cv2.imencodeanimation(suffix, moving)[1].tobytes(), np.uint8)
    for name, buffer in (("1-D", content), ("a row", content.reshape(1, -1))):
        got, animation = cv2.imdecodeanimation(buffer)
        found[suffix, name] = len(animation.frames) if got else 0
        print(f"{suffix} as {name}: {got}, {found[suffix, name]} frames")
wanted = {(s, n): 0 if (s, n) == (".webp", "1-D") else 3 for s, n in found}
sys.exit(0 if found == wanted else 1)
PY
"$work/venv/bin/python" "$work/show.py"
