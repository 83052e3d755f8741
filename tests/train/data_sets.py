"""Small data sets on disk for the tests of reading, importing and auditing."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS

Image = npt.NDArray[np.uint8]


def random_image(seed: int, size: int = 48) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def encode(image: Image, suffix: str = ".png") -> bytes:
    done, content = cv2.imencode(suffix, image)
    assert done
    return content.tobytes()


def small_files(per_class: int = 3, size: int = 48, splits: Iterable[str] = ("train", "test")) -> dict[str, bytes]:
    """``train/<class>/Training_*.png`` and ``test/<class>/{PublicTest,PrivateTest}_*.png``, all images different."""
    files: dict[str, bytes] = {}
    seed = 0
    for split in splits:
        prefixes = ("PublicTest", "PrivateTest") if split == "test" else ("Training",)
        for prefix in prefixes:
            for emotion in EMOTIONS:
                for i in range(per_class):
                    seed += 1
                    files[f"{split}/{emotion}/{prefix}_{i}.png"] = encode(random_image(seed, size))
    return files


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


CSV_NUMBERS = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "sad": 4, "surprise": 5, "neutral": 6}


def csv_rows(per_class: int = 2, size: int = 48) -> list[tuple[str, str, Image]]:
    """``(class, Usage, image)`` for every class and Usage."""
    rows = []
    seed = 1000
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for emotion in EMOTIONS:
            for _ in range(per_class):
                seed += 1
                rows.append((emotion, usage, random_image(seed, size)))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str, Image]]) -> Path:
    lines = ["emotion,pixels,Usage"]
    for emotion, usage, image in rows:
        lines.append(f"{CSV_NUMBERS[emotion]},{' '.join(map(str, image.ravel().tolist()))},{usage}")
    path.write_text("\n".join(lines) + "\n")
    return path
