"""Data sets: reading every layout, decoding, caching, cleaning and splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.data.cleaning import CleanReport, clean_train
    from fer_train.data.crowd_votes import Votes, load_vote_counts, load_votes
    from fer_train.data.dataset import Dataset, Split, load_dataset
    from fer_train.data.decoding import decode_image
    from fer_train.data.duplicates import group_duplicates
    from fer_train.data.readers import open_reader
    from fer_train.data.records import ImageReader, Record
    from fer_train.data.vote_translation import translated_votes

__all__ = [
    "CleanReport",
    "Dataset",
    "ImageReader",
    "Record",
    "Split",
    "Votes",
    "clean_train",
    "decode_image",
    "group_duplicates",
    "load_dataset",
    "load_vote_counts",
    "load_votes",
    "open_reader",
    "translated_votes",
]

_HOMES: Final[dict[str, str]] = {
    "CleanReport": "fer_train.data.cleaning",
    "clean_train": "fer_train.data.cleaning",
    "Votes": "fer_train.data.crowd_votes",
    "load_vote_counts": "fer_train.data.crowd_votes",
    "load_votes": "fer_train.data.crowd_votes",
    "Dataset": "fer_train.data.dataset",
    "Split": "fer_train.data.dataset",
    "load_dataset": "fer_train.data.dataset",
    "decode_image": "fer_train.data.decoding",
    "group_duplicates": "fer_train.data.duplicates",
    "open_reader": "fer_train.data.readers",
    "ImageReader": "fer_train.data.records",
    "Record": "fer_train.data.records",
    "translated_votes": "fer_train.data.vote_translation",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
