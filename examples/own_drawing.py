"""A webcam or video with a drawing of your own: python examples/own_drawing.py 0 (or video.mp4 [out.mp4])

Without a second argument a window shows it, and q ends it.
"""

from __future__ import annotations

import sys

import cv2

from fer_edge import FacePipeline

COLOURS = {"happy": (80, 200, 80), "sad": (200, 120, 40), "angry": (60, 60, 220)}  # blue, green, red
source = int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1]
writer = None
for result in FacePipeline(source):
    picture = result.image.copy()
    for face in result.faces:
        x, y, width, height = (round(value) for value in face.box)
        colour = COLOURS.get(face.emotion or "", (200, 200, 200))
        centre = (x + width // 2, y + height // 2)
        cv2.circle(picture, centre, max(width, height) // 2, colour, 3)
        cv2.putText(picture, face.emotion or "uncertain", (x, max(y - 8, 16)), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2)
    if len(sys.argv) > 2:
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(sys.argv[2], cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
        writer.write(picture)
    else:
        cv2.imshow("emotions", picture)
        if cv2.waitKey(1) == ord("q"):
            break
if writer is not None:
    writer.release()
