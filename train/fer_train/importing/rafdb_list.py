"""RAF-DB as its authors publish it: one folder of aligned faces, and ``list_patition_label.txt`` with their labels.

Each line is ``train_00001.jpg 5``: the name says the split, the number the emotion (1 surprise, 2 fear, 3 disgust,
4 happiness, 5 sadness, 6 anger, 7 neutral; Li et al. 2017). The image lies elsewhere, as ``train_00001_aligned.jpg``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from fer_edge.errors import DataError, UsageError
from fer_edge.files import text_encoding
from fer_edge.labels import EMOTIONS
from fer_train.data.folder_layout import IMAGE_SUFFIXES, Entry, Layout, LayoutRule, is_clutter
from fer_train.importing.class_names import NUMBERINGS
from fer_train.wording import megabytes

LIST_NAMES: Final[tuple[str, ...]] = ("list_patition_label.txt", "list_partition_label.txt")
"""The authors' spelling, and the one that people correct it to."""
MAX_LIST_BYTES: Final[int] = 64 << 20
_ALIGNED: Final[str] = "_aligned"
_SPLITS: Final[tuple[str, ...]] = ("train", "test")

LabelList = dict[str, str]
"""``train_00001`` -> one of our emotions."""


def parse_list(content: bytes, where: str) -> LabelList:
    """Read the list. Raises :class:`DataError` with the line's number for a line that is not as described above."""
    if len(content) > MAX_LIST_BYTES:
        raise DataError(f"{where} has more than {megabytes(MAX_LIST_BYTES)}, too much for a list of labels")
    names = NUMBERINGS["rafdb"]
    labels: LabelList = {}
    for number, line in enumerate(content.decode(text_encoding(content[:4]), "replace").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        stem = PurePosixPath(name.strip()).stem
        if label not in map(str, range(1, len(names))) or stem.split("_")[0] not in _SPLITS:
            raise DataError(f"{where}, line {number}: expected 'train_NAME.jpg 1..7' or 'test_...', got {line[:60]!r}")
        emotion = names[int(label)]
        if labels.setdefault(stem, emotion) != emotion:
            raise DataError(f"{where}, line {number}: a second, other label for {stem}")
    if not labels:
        raise DataError(f"{where} holds no labels")
    return labels


def list_rule(labels: LabelList, numbering: str | None = None) -> LayoutRule:
    """The layout rule of images that ``labels`` names; ``numbering`` can only repeat what the list says."""
    if numbering not in (None, "rafdb"):
        raise UsageError(f"--numbering {numbering} does not fit RAF-DB's list of labels; leave it out")

    def rule(paths: Iterable[PurePosixPath], where: str) -> Layout:
        return _assign(list(paths), where, labels)

    return rule


def _assign(paths: list[PurePosixPath], where: str, labels: LabelList) -> Layout:
    images = sorted(path for path in paths if not is_clutter(path) and path.suffix.lower() in IMAGE_SUFFIXES)
    chosen: dict[str, PurePosixPath] = {}
    layout = Layout()
    for path in images:
        stem = path.stem.removesuffix(_ALIGNED)
        if stem not in labels:
            layout.skipped.append((str(path), "not in the list of labels"))
        elif stem not in chosen or path.stem.endswith(_ALIGNED):
            # The full photograph may lie beside the aligned face; the network wants the face.
            chosen[stem] = path
    if not chosen:
        raise DataError(
            f"{where}: not one of the {len(labels)} images in the list of labels is there; unpack Image/aligned.zip"
        )
    for stem, path in chosen.items():
        split, emotion = stem.split("_")[0], labels[stem]
        layout.entries.append(Entry(f"{split}/{emotion}/{path.name}", split, EMOTIONS.index(emotion), path))
    layout.skipped += [(stem, "in the list of labels, but not there") for stem in labels.keys() - chosen.keys()]
    layout.entries.sort()
    layout.skipped.sort()
    return layout
