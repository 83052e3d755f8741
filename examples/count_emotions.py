"""How many faces of a video show what, second by second: python examples/count_emotions.py video.mp4 counts.csv"""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from pathlib import Path

from fer_edge import EMOTIONS, FacePipeline

counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
for result in FacePipeline(sys.argv[1]):
    for face in result.faces:
        counts[int(result.time_s)][face.emotion or "uncertain"] += 1

columns = [*EMOTIONS, "uncertain"]
with Path(sys.argv[2]).open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["second", *columns])
    for second, seen in sorted(counts.items()):
        writer.writerow([second, *(seen[name] for name in columns)])
