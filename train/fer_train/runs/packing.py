"""Pack the weights of a run into small files: those that the repository holds and `fer-export` starts from."""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import ModelError
from fer_train.evaluation.temperature import save_folded
from fer_train.runs.packed_weights import write_packed
from fer_train.runs.trained import PACKED_FLOAT, PACKED_QAT, Trained

__all__ = ["pack"]


def pack(trained: Trained, folder: Path) -> None:
    """Write ``config.json``, ``float.npz`` and ``qat.npz``: kernels in half precision, all else in single.

    Kernels of the QAT network are put on their INT8 grid first, which half precision does not disturb: its export gives
    the answers of the run's own. The float network's probabilities move by about 1e-3.

    Args:
        trained: weights of a run.
        folder: where the files go.

    Raises:
        ModelError: it is a model file, not a run.
    """
    if trained.recipe is None:
        raise ModelError(f"{trained.path} is a model file; only a run of fer-train can be packed")
    trained.recipe.without_paths().save(folder / "config.json")
    write_packed(folder / PACKED_FLOAT, trained.float_model().get_weights())
    qat = trained.qat_model()
    if qat is not None:
        from fer_train.quantization.qat_network import snap_kernels

        snap_kernels(qat)
        write_packed(folder / PACKED_QAT, qat.get_weights())
    temperatures = trained.temperatures
    if temperatures is not None:
        save_folded(temperatures, folder)
