#!/usr/bin/env bash
# OpenCV's VideoWriter keeps a copy of every picture of 3840x2160 that it is given, 24 MiB, however it was allocated by
# numpy: such a picture is a whole number of memory pages long, and OpenCV copies pictures whose last byte is less than 32
# bytes from the edge of a page (FFmpeg may read beyond the end). The same pixels in an array that ends in the middle of a page
# are not copied, and take less memory. Of 1920x1080, no whole number of pages, numpy's pictures are not copied.
# Exits 0 while it is so, 1 when it has changed. Linux (VmHWM of /proc/self/status).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python-headless==4.14.0.94" "numpy==2.4.6"
cat >"$work/write.py" <<'PY'
import sys
import cv2, numpy as np

def picture(height, width, placed):
    n_bytes = height * width * 3
    if not placed:
        return np.full((height, width, 3), 90, np.uint8)
    room = np.full(n_bytes + 4096, 90, np.uint8)
    start = (2048 - room.ctypes.data - n_bytes) % 4096
    return room[start : start + n_bytes].reshape(height, width, 3)

def peak_mib():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

width, height, placed, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "placed", sys.argv[4]
image = picture(height, width, placed)
writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (width, height))
assert writer.isOpened()
before = peak_mib()
for _ in range(4):
    writer.write(image)
print(f"{peak_mib() - before:.1f}")
writer.release()
PY
"$work/venv/bin/python" - "$work" <<'PY'
import subprocess, sys
import cv2
found = {}
for width, height in ((3840, 2160), (1920, 1080)):
    for how in ("plain", "placed"):
        command = [sys.executable, f"{sys.argv[1]}/write.py", str(width), str(height), how, f"{sys.argv[1]}/o.mkv"]
        found[width, how] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    copy = width * height * 3 / 2**20
    extra = found[width, "plain"] - found[width, "placed"]
    print(f"OpenCV {cv2.__version__}, {width}x{height} ({copy:.1f} MiB): writing takes {found[width, 'plain']:.1f} MiB from numpy's "
          f"own array, {found[width, 'placed']:.1f} from one that ends in mid-page: {extra:.1f} more")
large = found[3840, "plain"] - found[3840, "placed"]
small = found[1920, "plain"] - found[1920, "placed"]
sys.exit(0 if abs(large - 23.7) < 3 and abs(small) < 3 else 1)
PY
