"""Faces of one picture as JSON: python examples/image_to_json.py photo.jpg > faces.json"""

from __future__ import annotations

import json
import sys

import fer_edge

faces = [
    {
        "box": list(face.box),  # x, y, width, height in pixels
        "emotion": face.emotion,  # None where no class is likely enough
        "probabilities": {
            name: round(float(p), 4) for name, p in zip(fer_edge.EMOTIONS, face.probabilities, strict=True)
        },
    }
    for face in fer_edge.analyze(sys.argv[1])
]
print(json.dumps(faces, indent=2))
