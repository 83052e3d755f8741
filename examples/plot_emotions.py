"""From a folder of clips to a plot of emotions over time: python examples/plot_emotions.py clips/ plot.png

The tables are kept in a folder beside the plot. (pip install pyarrow pandas matplotlib jinja2)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import fer_edge

clips, plot = sys.argv[1:3]
results = Path(plot).with_suffix("")
subprocess.run(["fer-analyze", clips, "--out", str(results), *sys.argv[3:]], check=True)

faces = fer_edge.read_table(results)
faces["second"] = faces["time_s"].astype(int)
by_clip = faces.groupby(["file", "second"])[list(fer_edge.EMOTIONS)].mean()  # each clip counts once a second
over_time = by_clip.groupby("second").mean()
axes = over_time.plot.area(figsize=(9, 4), xlabel="seconds", ylabel="mean probability", ylim=(0, 1))
axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.savefig(plot, bbox_inches="tight")

seconds = fer_edge.read_table(results, "files").set_index("file").filter(like="seconds_")
print(seconds.round(1).to_string())
