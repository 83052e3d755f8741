"""``fer-data import``: any known form of a data set to one checked, plain folder with a manifest."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, InputError
from fer_edge.files import sha256_of, write_text
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_train.data.cleaning import CleanReport, clean_groups
from fer_train.data.crowd_votes import OTHER_COLUMNS, VOTE_COLUMNS, load_vote_counts
from fer_train.data.decoded_cache import with_first_reason
from fer_train.data.decoding import decode_image
from fer_train.data.duplicates import pixel_digests
from fer_train.data.fer2013_csv import CSV_SPLITS, CsvReader
from fer_train.data.folder_layout import SPLITS, Entry, LayoutRule, require_classes
from fer_train.data.readers import open_reader
from fer_train.data.records import ImageReader, Record
from fer_train.data.staged_folder import MANIFEST, check_destination, staged_folder, write_new
from fer_train.data.table_text import TABLE_SUFFIXES
from fer_train.importing.class_names import import_rule
from fer_train.importing.label_tables import label_tables
from fer_train.importing.labels_beside import labels_beside
from fer_train.importing.nested_archives import unwrap
from fer_train.importing.rafdb_list import list_rule
from fer_train.logs import LOG
from fer_train.on_progress import OnProgress
from fer_train.parallel import ordered_map
from fer_train.wording import counted

__all__ = ["CHECKSUMS", "DEFAULT_MAX_BYTES", "VOTES_FILE", "ImportReport", "import_dataset"]

DEFAULT_MAX_BYTES: Final[int] = 4 << 30
CHECKSUMS: Final[str] = "SHA256SUMS"
VOTES_FILE: Final[str] = "ferplus_votes.csv"


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    destination: Path
    """The new folder."""
    counts: dict[str, dict[str, int]]
    """Split -> class -> images written."""
    skipped: tuple[tuple[str, str], ...]
    """``(name, reason)`` of broken images and files that are not images."""
    dropped: dict[str, int]
    """Images of classes that are none of the seven, by class."""
    cleaned: CleanReport | None
    """What ``--clean`` removed; None without it."""
    votes: int | None
    """Images with crowd votes; None when no votes were given."""
    already_there: bool = False
    """Whether an earlier, equal import was found, and nothing was written."""
    notes: tuple[str, ...] = ()
    """How the source was read, where that was a choice: one line each."""
    numbering: str | None = None
    """Whose numbers numbered class folders were taken for."""

    @property
    def n_images(self) -> int:
        """Images written in all."""
        return sum(sum(classes.values()) for classes in self.counts.values())


@dataclass
class _Written:
    """One image of the import, after it was written or found broken."""

    entry: Entry
    file: str = ""
    sha256: str = ""
    digest: bytes = b""
    problem: str = ""
    position: int = field(default=0)


def import_dataset(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    clean: bool = False,
    votes: str | os.PathLike[str] | None = None,
    vote_pixels: str | os.PathLike[str] | None = None,
    numbering: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Copy the images of a folder, zip, tar or ``fer2013.csv`` to ``destination/<split>/<class>/``, checking each.

    Image files are copied byte for byte, rows of a CSV become PNG files. Beside them: ``manifest.json`` (counts, what
    was skipped, dropped and cleaned, checksum of the source), ``SHA256SUMS`` (for ``sha256sum -c``) and, with
    ``votes``, ``ferplus_votes.csv`` joined to the new names. ``destination`` appears when everything is done; an import
    that was killed goes on where it stopped when it is started again.

    Args:
        source: a folder, a zip, a tar (as downloaded) or a ``fer2013.csv``.
        destination: the new folder.
        clean: leave out of train what :func:`fer_train.data.cleaning.clean_train` removes.
        votes: a FER+ table that names the images or follows the rows of ``fer2013.csv``.
        vote_pixels: that ``fer2013.csv``, to join votes by pixel content where images have other names.
        numbering: whose numbers numbered class folders are.
        max_bytes: the most bytes that archives may unpack to.
        force: replace a folder that one of our commands made.
        on_progress: called with ``(done, total)`` along the way.

    Returns:
        What was written, and what was left out and why.

    Raises:
        DataError: the source cannot be used, unpacks to too much, holds links or paths that climb out, or has no train
            but unknown words for Usage; or ``destination`` is not empty and ``force`` is not given.
        UsageError: an unknown numbering, or one that does not fit the source.
    """
    source_path, target_path = Path(source), Path(destination)
    _check_apart(source_path, target_path)
    with contextlib.ExitStack() as stack:
        opened = _open_for_import(source_path, target_path, import_rule(numbering), max_bytes, stack, numbering)
        options = {"clean": clean, "numbering": numbering, "votes": _digest_or_none(votes)}
        sha256 = sha256_of(source_path) if source_path.is_file() else None
        job: dict[str, Any] = {"source": source_path.name, "key": sha256 or opened.key(), **options}
        if not force and (report := _already_imported(target_path, job)):
            return report
        check_destination(target_path, force)
        _ = opened.total  # a wrong layout is found before anything is written
        with staged_folder(target_path, job, force=force) as staging:
            written = _write_images(opened, staging, on_progress)
            good = [item for item in written if not item.problem]
            _require_classes(good, source_path, opened, written)
            cleaned = _clean(good, staging) if clean else None
            good = [item for item in good if not item.problem]
            n_votes = _join_votes(good, staging, Path(votes), vote_pixels) if votes is not None else None
            _remove_unlisted(staging, good)
            report = _report(target_path, opened, written, cleaned, n_votes)
            _write_records(staging, good, report, {"job": job, "source_sha256": sha256})
    return report


def _report(
    destination: Path, reader: ImageReader, written: list[_Written], cleaned: CleanReport | None, n_votes: int | None
) -> ImportReport:
    return ImportReport(
        destination=destination,
        counts=_counts([item for item in written if not item.problem]),
        skipped=(*reader.skipped, *((i.entry.name, i.problem) for i in written if i.problem and not i.digest)),
        dropped=reader.dropped,
        cleaned=cleaned,
        votes=n_votes,
        notes=tuple(reader.notes),
        numbering=reader.numbering,
    )


def _write_records(staging: Path, good: list[_Written], report: ImportReport, origin: dict[str, Any]) -> None:
    """``SHA256SUMS`` and ``manifest.json`` of a finished import."""
    sums = "".join(f"{item.sha256}  {item.file}\n" for item in good)
    write_text(staging / CHECKSUMS, sums)
    manifest = {
        "format": 1,
        **origin,
        "images_sha256": hashlib.sha256(sums.encode()).hexdigest(),
        "n_images": report.n_images,
        "counts": report.counts,
        "dropped": report.dropped,
        "skipped": [list(pair) for pair in report.skipped],
        "cleaned": report.cleaned.as_dict() if report.cleaned else None,
        "votes": report.votes,
        "notes": list(report.notes),
        "numbering": report.numbering,
    }
    write_text(staging / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _open_for_import(
    source: Path,
    destination: Path,
    rule: LayoutRule,
    max_bytes: int,
    stack: contextlib.ExitStack,
    numbering: str | None,
) -> ImageReader:
    if source.is_dir():
        _refuse_links(source)
    plain, labels = unwrap(source, destination.resolve(), max_bytes, stack)
    LOG.debug(f"images come from {plain}{', labels from a list beside them' * (labels is not None)}")
    if labels is not None:
        rule = list_rule(labels, numbering)
    elif plain.suffix.lower() not in TABLE_SUFFIXES:
        rule = labels_beside(plain, numbering) or label_tables(plain, numbering, rule) or rule
    return stack.enter_context(contextlib.closing(open_reader(plain, rule)))


def _check_apart(source: Path, destination: Path) -> None:
    inner, outer = source.resolve(), destination.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise DataError(f"{source} and {destination} overlap; give another folder with --to")


def _refuse_links(folder: Path) -> None:
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink():
                raise DataError(f"{folder}: refused, {path.relative_to(folder)} is a link; copy what it points to")


def _digest_or_none(path: str | os.PathLike[str] | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise DataError(f"no file {path}; expected a FER+ vote table (CSV)")
    return sha256_of(path)


def _already_imported(destination: Path, job: dict[str, Any]) -> ImportReport | None:
    try:
        manifest = json.loads((destination / MANIFEST).read_text(encoding="utf-8"))
        if manifest["job"] != job:
            return None
        return ImportReport(
            destination,
            manifest["counts"],
            tuple((str(name), str(reason)) for name, reason in manifest["skipped"]),
            manifest["dropped"],
            CleanReport(**manifest["cleaned"]) if manifest["cleaned"] else None,
            manifest["votes"],
            already_there=True,
            notes=tuple(manifest.get("notes", ())),
            numbering=manifest.get("numbering"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _target_name(record: Record, is_csv: bool) -> str:
    entry = record.entry
    if not is_csv:
        return entry.name
    folder = "train" if entry.split == "train" else "test"
    return f"{folder}/{EMOTIONS[entry.label]}/{entry.name}.png"


def _write_images(reader: ImageReader, staging: Path, on_progress: OnProgress | None) -> list[_Written]:
    is_csv = isinstance(reader, CsvReader)

    def write(record: Record) -> _Written:
        try:
            content = record.image.encoded()
            image = decode_image(content)
        except InputError as error:
            return _Written(record.entry, problem=str(error), position=record.position)
        name = _target_name(record, is_csv)
        file = staging / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new(file, content)
        sha256, digest = hashlib.sha256(content).hexdigest(), pixel_digests([image])[0]
        return _Written(record.entry, name, sha256, digest, position=record.position)

    written = []
    for item in ordered_map(write, reader.records(), batch=64):
        written.append(item)
        if on_progress:
            on_progress(item.position, reader.total)
    return written


def _counts(items: list[_Written]) -> dict[str, dict[str, int]]:
    counter = Counter((item.entry.split, item.entry.label) for item in items)
    splits = {split for split, _ in counter}
    return {
        split: {name: counter[split, label] for label, name in enumerate(EMOTIONS)}
        for split in SPLITS
        if split in splits
    }


def _require_train(items: list[_Written], source: Path, opened: ImageReader) -> None:
    """Sets for evaluation need no train split; but rows under words that nobody here knows may have been meant for it.

    Raises :class:`DataError`.
    """
    words = opened.unknown_usages if isinstance(opened, CsvReader) else Counter[str]()
    if not words or any(item.entry.split == SPLITS[0] for item in items):
        return
    shown = ", ".join(f"{word!r} in {counted(rows, 'row')}" for word, rows in words.most_common(3))
    more = f" and {len(words) - 3} other words" if len(words) > 3 else ""
    there = " and ".join(_counts(items)) or "nothing"
    raise DataError(
        f"{source} has no row for train: its Usage column says {shown}{more}, expected {', '.join(CSV_SPLITS)}; write "
        f"Training there for what to train on, or delete these rows to import {there} alone"
    )


def _require_classes(items: list[_Written], source: Path, opened: ImageReader, written: list[_Written]) -> None:
    _require_train(items, source, opened)
    counts = {split: list(classes.values()) for split, classes in _counts(items).items()}
    try:
        require_classes(counts, str(source))
    except DataError as error:
        broken = [(item.entry.name, item.problem) for item in written if item.problem]
        raise with_first_reason(error, [*opened.skipped, *broken]) from error


def _clean(items: list[_Written], staging: Path) -> CleanReport:
    """Mark and delete train images that cleaning removes."""
    number_of: dict[bytes, int] = {}
    groups = np.array([number_of.setdefault(item.digest, len(number_of)) for item in items], dtype=np.int64)
    labels = np.array([item.entry.label for item in items], dtype=np.int64)
    in_train = np.array([item.entry.split == "train" for item in items])
    kept, report = clean_groups(groups[in_train], labels[in_train], groups[~in_train])
    train = [item for item, is_train in zip(items, in_train, strict=True) if is_train]
    keep: npt.NDArray[np.bool_] = np.zeros(len(train), dtype=bool)
    keep[kept] = True
    for item, stays in zip(train, keep, strict=True):
        if not stays:
            item.problem = "cleaned"
            (staging / item.file).unlink()
    return report


def _remove_unlisted(staging: Path, items: list[_Written]) -> None:
    """Remove image files that an earlier, interrupted run left and this one did not write."""
    listed = {item.file for item in items}
    for file in _image_files(staging):
        if file.relative_to(staging).as_posix() not in listed:
            file.unlink()


def _image_files(staging: Path) -> Iterator[Path]:
    for folder in SPLITS:
        yield from (path for path in (staging / folder).rglob("*") if path.is_file())


def _join_votes(items: list[_Written], staging: Path, votes: Path, vote_pixels: str | os.PathLike[str] | None) -> int:
    if vote_pixels is not None:
        from fer_train.importing.match_by_pixels import rows_by_content

        images = [decode_image((staging / item.file).read_bytes()) for item in items]
        rows = rows_by_content(images, Path(vote_pixels))
        names = [f"Training_row{row}" if row >= 0 else "" for row in rows]
    else:
        names = [item.file for item in items]
    counts = load_vote_counts(votes, names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    order = sorted(range(NUM_EMOTIONS), key=lambda i: list(_FERPLUS_ORDER).index(VOTE_COLUMNS[EMOTIONS[i]]))
    writer.writerow(["image", *(VOTE_COLUMNS[EMOTIONS[i]] for i in order), *OTHER_COLUMNS])
    for i, item in enumerate(items):
        if counts.known[i]:
            numbers = [*(counts.emotions[i][j] for j in order), *counts.others[i]]
            writer.writerow([PurePosixPath(item.file).name, *(f"{value:g}" for value in numbers)])
    write_text(staging / VOTES_FILE, text.getvalue())
    return int(counts.known.sum())


_FERPLUS_ORDER: Final[tuple[str, ...]] = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
)  # fmt: skip
