#!/usr/bin/env bash
# OpenCV's VideoCapture (FFmpeg inside opencv-python) opens a HEIC photo that is stored as a grid of tiles, as every
# iPhone photo is, and gives the first tile as if it were the whole picture: isOpened() is True, one frame, no error.
# Exits 0 while it does so, 1 when the behaviour has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python==4.14.0.94" "numpy==2.4.6" "pillow-heif==1.8.1"
cat >"$work/show.py" <<'PY'
import os, struct, sys
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
import cv2, numpy as np, pillow_heif

def box(kind, *content): body = b"".join(content); return struct.pack(">I", len(body) + 8) + kind + body
def full(kind, *content, version=0, flags=0): return box(kind, struct.pack(">I", version << 24 | flags), *content)

# A picture of 256x256 in four tiles of 128x128, each of its own grey; coded by libheif, put together by the standard
# (ISO/IEC 23008-12, 6.6.2.3).
tiles, settings = [], b""
for grey in (40, 100, 160, 220):
    pillow_heif.encode("BGR", (128, 128), np.full((128, 128, 3), grey, np.uint8).tobytes(), sys.argv[1] + "/t.heic")
    content = open(sys.argv[1] + "/t.heic", "rb").read()
    at = content.index(b"hvcC") - 4
    settings = content[at : at + int.from_bytes(content[at : at + 4], "big")]
    at = content.index(b"mdat") + 4
    tiles.append(content[at : at - 8 + int.from_bytes(content[at - 8 : at - 4], "big")])
datas = [*tiles, struct.pack(">BBBBHH", 0, 0, 1, 1, 256, 256)]
kinds = [b"hvc1"] * 4 + [b"grid"]
properties = box(b"ipco", settings, full(b"ispe", struct.pack(">II", 128, 128)), full(b"ispe", struct.pack(">II", 256, 256)))
links = b"".join(struct.pack(">HB", n, 2) + b"\x81\x02" for n in range(1, 5)) + struct.pack(">HBB", 5, 1, 3)
infos = b"".join(full(b"infe", struct.pack(">HH", n, 0), k, b"\0", version=2, flags=int(n < 5)) for n, k in enumerate(kinds, 1))
def meta(first):
    places = b""
    for n, data in enumerate(datas, 1):
        places += struct.pack(">HHHII", n, 0, 1, first, len(data)); first += len(data)
    return full(b"meta", full(b"hdlr", bytes(4) + b"pict" + bytes(13)), full(b"pitm", struct.pack(">H", 5)),
        full(b"iloc", b"\x44\x00", struct.pack(">H", 5), places), full(b"iinf", struct.pack(">H", 5), infos),
        full(b"iref", box(b"dimg", struct.pack(">HH4H", 5, 4, 1, 2, 3, 4))), box(b"iprp", properties, full(b"ipma", struct.pack(">I", 5), links)))
head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
path = sys.argv[1] + "/grid.heic"
open(path, "wb").write(head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *datas))

whole = np.asarray(pillow_heif.open_heif(path, bgr_mode=True))
print("libheif:", whole.shape, "greys", sorted({int(v) // 20 * 20 for v in whole[64::128, 64::128, 0].ravel()}))
capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
got, image = capture.read()
print("OpenCV", cv2.__version__, "opened:", capture.isOpened(), "read:", got, None if image is None else image.shape,
      "frames after it:", capture.read()[0])
assert whole.shape == (256, 256, 3)
sys.exit(0 if got and image.shape == (128, 128, 3) else 1)
PY
"$work/venv/bin/python" "$work/show.py" "$work"
