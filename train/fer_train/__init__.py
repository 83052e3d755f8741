"""Training, quantisation-aware training and evaluation of FER models.

A data set, and how good a model is on it::

    import fer_edge
    import fer_train

    split = fer_train.load_dataset("fer2013.zip").split("validation")
    classifier = fer_edge.open_classifier("fer_int8.tflite")
    print(fer_train.evaluate_classifier(classifier, split.images, split.labels, split.name).accuracy)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.dependencies import set_defaults, set_folders
from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.data.dataset import Dataset, Split, load_dataset
    from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
    from fer_train.evaluation.paired_interval import Interval, paired_drop
    from fer_train.importing.importer import ImportReport, import_dataset
    from fer_train.runs.recipe import Recipe, load_recipe
    from fer_train.runs.run_folder import RunFolder
    from fer_train.runs.trained import Trained, load_trained
    from fer_train.synthetic.faces import synthetic_split
    from fer_train.synthetic.folder import write_synthetic
    from fer_train.training.session import train

__all__ = [
    "Dataset",
    "Evaluation",
    "ImportReport",
    "Interval",
    "Recipe",
    "RunFolder",
    "Split",
    "Trained",
    "evaluate_classifier",
    "import_dataset",
    "load_dataset",
    "load_recipe",
    "load_trained",
    "paired_drop",
    "synthetic_split",
    "train",
    "write_synthetic",
]

_HOMES: Final[dict[str, str]] = {
    "Dataset": "fer_train.data.dataset",
    "Split": "fer_train.data.dataset",
    "load_dataset": "fer_train.data.dataset",
    "Evaluation": "fer_train.evaluation.evaluate",
    "evaluate_classifier": "fer_train.evaluation.evaluate",
    "Interval": "fer_train.evaluation.paired_interval",
    "paired_drop": "fer_train.evaluation.paired_interval",
    "ImportReport": "fer_train.importing.importer",
    "import_dataset": "fer_train.importing.importer",
    "Recipe": "fer_train.runs.recipe",
    "load_recipe": "fer_train.runs.recipe",
    "RunFolder": "fer_train.runs.run_folder",
    "Trained": "fer_train.runs.trained",
    "load_trained": "fer_train.runs.trained",
    "synthetic_split": "fer_train.synthetic.faces",
    "write_synthetic": "fer_train.synthetic.folder",
    "train": "fer_train.training.session",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

# Before anything imports Keras, Matplotlib or ONNX Runtime: they read these once.
set_defaults()
set_folders()
