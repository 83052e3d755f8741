"""What Keras computes with: backend, device, precision."""

from __future__ import annotations

import keras

to_numpy = keras.ops.convert_to_numpy  # also of what lies on a GPU
