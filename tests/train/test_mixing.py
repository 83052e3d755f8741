from __future__ import annotations

import numpy as np
import pytest

from fer_train.commands.recipe import recipe_from
from fer_train.inputs.batches import Batches
from fer_train.inputs.mixing import Batch, Mixing, mix
from fer_train.inputs.targets import hard_targets

COUNT, SIZE = 512, 32
GREYS = np.linspace(0, 250, COUNT).round().astype(np.uint8)


def plain_batch() -> Batch:
    """Flat images, each of its own grey, so that a pixel says which image it came from; class by grey."""
    faces = np.broadcast_to(GREYS[:, None, None], (COUNT, SIZE, SIZE)).copy()
    labels = (np.arange(COUNT) * 7) // COUNT
    return faces, hard_targets(labels, 0.0), np.ones(COUNT, np.float32)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_blends_pixels_and_targets_alike(alpha: float) -> None:
    faces, targets, weights = plain_batch()
    mixed, blended, total = mix((faces, targets, weights), Mixing(mixup=alpha), np.random.default_rng(0))
    partner = np.random.default_rng(0).permutation(COUNT)
    np.testing.assert_allclose(blended.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)
    assert (mixed == mixed[:, :1, :1]).all()  # one mixture over the whole image
    own = np.argmax(targets, axis=1)
    distinct = own != own[partner]
    share = blended[np.arange(COUNT), own][distinct]
    a, b = faces[:, 0, 0].astype(float)[distinct], faces[partner, 0, 0].astype(float)[distinct]
    np.testing.assert_allclose(mixed[:, 0, 0][distinct], share * a + (1 - share) * b, atol=0.51)
    # Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1))
    assert share.mean() == pytest.approx(0.5, abs=0.06)
    assert share.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.2)


def test_cutmix_pastes_one_rectangle_and_counts_its_area() -> None:
    faces, targets, weights = plain_batch()
    mixed, blended, _ = mix((faces, targets, weights), Mixing(cutmix=1.0), np.random.default_rng(1))
    partner = np.random.default_rng(1).permutation(COUNT)
    own = np.argmax(targets, axis=1)
    areas = []
    for i in np.flatnonzero(GREYS[partner] != GREYS):
        assert set(np.unique(mixed[i])) <= {GREYS[i], GREYS[partner[i]]}  # pasted, never blended
        pasted = mixed[i] == GREYS[partner[i]]
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        assert pasted.sum() == len(rows) * len(columns)  # a full rectangle
        areas.append(pasted.mean())
        if own[i] != own[partner[i]]:
            assert blended[i, own[i]] == pytest.approx(1.0 - pasted.mean(), abs=1e-5)
    assert np.mean(np.array(areas) > 0.01) > 0.9
    assert 0.2 < np.mean(areas) < 0.5  # 1/2 before clipping at the borders


def test_both_at_once_gives_each_image_one_of_them() -> None:
    faces, targets, weights = plain_batch()
    mixed, _, _ = mix((faces, targets, weights), Mixing(mixup=1.0, cutmix=1.0), np.random.default_rng(2))
    partner = np.random.default_rng(2).permutation(COUNT)
    blended = [i for i in range(COUNT) if not set(np.unique(mixed[i])) <= {faces[i, 0, 0], faces[partner[i], 0, 0]}]
    assert 0.3 < len(blended) / COUNT < 0.6


def test_the_loss_is_the_mean_of_both_losses_with_their_weights() -> None:
    faces, targets, _ = plain_batch()
    weights = np.random.default_rng(5).uniform(0.2, 3.0, COUNT).astype(np.float32)
    _, blended, total = mix((faces, targets, weights), Mixing(mixup=1.0), np.random.default_rng(3))
    # The same draws with equal weights give the shares.
    _, shares, _ = mix((faces, targets, np.ones(COUNT, np.float32)), Mixing(mixup=1.0), np.random.default_rng(3))
    partner = np.random.default_rng(3).permutation(COUNT)
    own = np.argmax(targets, axis=1)
    logs = np.log(np.random.default_rng(4).dirichlet(np.ones(7), COUNT))
    loss = -(total[:, None] * blended * logs).sum(axis=1)
    for i in np.flatnonzero(own != own[partner]):
        share = shares[i, own[i]]
        expected = -share * weights[i] * logs[i, own[i]]
        expected -= (1 - share) * weights[partner[i]] * logs[i, own[partner[i]]]
        assert loss[i] == pytest.approx(expected, rel=1e-3)


def batches(epoch: int, mixing: Mixing, part: tuple[int, int] = (0, 1)) -> Batches:
    faces, targets, weights = plain_batch()
    return Batches(
        faces, targets, weights, input_size=32, batch_size=64, seed=9, epoch=epoch, mixing=mixing, part=part
    )  # fmt: skip


def test_batches_mix_by_epoch_and_number_alone_so_that_resume_is_exact() -> None:
    mixing = Mixing(mixup=0.2, cutmix=1.0)
    in_order = [batches(3, mixing)[i] for i in range(4)]
    once_more = batches(3, mixing)
    for index in (3, 0, 2, 1):  # any order, as a loader's threads ask
        for a, b in zip(in_order[index], once_more[index], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(in_order[0][1], in_order[1][1])
    assert not np.array_equal(in_order[0][0], batches(4, mixing)[0][0])


def test_parts_of_a_batch_are_the_batch() -> None:
    mixing = Mixing(cutmix=1.0)
    whole = batches(0, mixing)[2]
    parts = [batches(0, mixing, (i, 4))[2] for i in range(4)]
    for k, array in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[k] for part in parts]), array)


def test_off_by_default() -> None:
    config = recipe_from({"data": "d"})
    assert (config.mixup, config.cutmix) == (0.0, 0.0)
    faces, targets, _ = batches(0, Mixing())[0]
    assert set(np.unique(faces)) <= set(GREYS)
    assert set(np.unique(targets)) == {0.0, 1.0}
