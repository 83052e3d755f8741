"""Training steps of the float stage as plain PyTorch operations, on a GPU recorded once and replayed (CUDA graph).

A step of MobileNetV2 is more than a thousand small kernels. A fast GPU computes them sooner than Python can start them,
so on a GPU the whole step (network, loss, gradients, AdamW, weight average) is recorded as one CUDA graph and started
with one call. Variables and optimizer state stay Keras' own tensors, so that checkpoints and saving work as elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import torch

from fer_edge.labels import NUM_EMOTIONS
from fer_edge.system import usable_cpus
from fer_train.parallel import ordered_map
from fer_train.training import keras_optimizer
from fer_train.training.objective import Objective, divergence, one_row_per_face, views
from fer_train.training.weight_average import average_decay

Chunk = tuple[Any, Any, Any]
"""Faces, targets and weights of several batches, concatenated."""
_FACES_AT_ONCE = 1024
"""Augmented together on a GPU, and shown together to live teachers: enough to hide what starting each kernel costs."""
_CHUNKS_AHEAD = 2
"""How far Python may run ahead of the device, and how many augmented chunks memory holds beside the running one."""
_WARM_UP = 3
"""Steps before one is recorded, in which PyTorch's libraries choose their kernels."""


class BatchList(Protocol):
    """Batches in order, such as :class:`fer_train.inputs.batches.Batches`, all of ``batch_size`` images."""

    batch_size: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Chunk: ...


class TorchSteps:
    """All steps of an epoch for one network, one optimizer (Keras' AdamW, built) and one batch size.

    ``augment`` turns ``(N, S, S)`` uint8 into faces ``(N, S, S, 3)`` float32, and two views of each, ``(N, 2, S, S)``,
    into ``(N, 2, S, S, 3)``; ``teachers``, if any, answer for the clean ones with ``(N, 7)``.
    """

    def __init__(
        self,
        network: Any,
        augment: Callable[..., Any],
        optimizer: Any,
        objective: Objective,
        *,
        teachers: Callable[..., Any] | None = None,
    ) -> None:
        self._fused = network.layers[-1]
        self._augment, self._teachers, self._objective = augment, teachers, objective
        self._optimizer = optimizer
        self._state = [variable.value for variable in network.variables]
        variables = keras_optimizer.trained_variables(optimizer)
        self._parameters = [variable.value for variable in variables]
        self._averages = [average.value for average in keras_optimizer.averages(optimizer)]
        self._device = self._parameters[0].device
        self._on_gpu = self._device.type == "cuda"
        self._rate = torch.zeros((), device=self._device)
        self._average_share = torch.ones((), device=self._device)  # of the new weights in their average
        self._adamw = self._share_state(variables)
        self._sums = torch.zeros(3, device=self._device)  # loss, weight of the right answers, weight of all
        self._inputs: tuple[Any, ...] = ()
        self._graph: Any = None
        self._beside = torch.cuda.Stream() if self._on_gpu else None
        if self._on_gpu:
            torch.backends.cudnn.benchmark = True

    def _share_state(self, variables: list[Any]) -> Any:
        """PyTorch's fused AdamW on the tensors of Keras' optimizer: the same rule (Loshchilov and Hutter 2019)."""
        optimizer = self._optimizer
        decayed = [keras_optimizer.is_decayed(optimizer, variable) for variable in variables]
        groups = [
            {
                "params": [p for p, yes in zip(self._parameters, decayed, strict=True) if yes is plain],
                "weight_decay": float(optimizer.weight_decay or 0.0) if plain else 0.0,
            }
            for plain in (True, False)
        ]
        adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self._rate,
            betas=(optimizer.beta_1, optimizer.beta_2),
            eps=optimizer.epsilon,
            fused=self._device.type in ("cuda", "cpu"),
            capturable=self._on_gpu,
        )
        self._done = int(keras.ops.convert_to_numpy(optimizer.iterations))
        for parameter, (first, second) in zip(self._parameters, keras_optimizer.moments(optimizer), strict=True):
            adamw.state[parameter] = {
                "step": torch.tensor(float(self._done), device=self._device),
                "exp_avg": first.value,
                "exp_avg_sq": second.value,
            }
        return adamw

    def epoch(self, batches: BatchList, seed: int, after_batch: Callable[[float | None], None]) -> tuple[float, float]:
        """Train on all ``batches``; mean loss and accuracy.

        ``seed`` is for what a GPU draws inside a step (dropout). ``after_batch`` is called for every batch, with the
        mean loss so far where that is known.
        """
        if self._on_gpu:
            torch.cuda.manual_seed(seed)
        self._sums.zero_()
        size, done = batches.batch_size, 0
        finished: deque[Any] = deque()
        for chunk in self._prepared(batches):
            # What is read is of the chunk before the last, which is done by now: reading must not stop the device.
            loss = self._loss_once(finished.popleft()) if len(finished) == _CHUNKS_AHEAD else None
            for i in range(0, len(chunk[0]), size):
                self._one([part[i : i + size] for part in chunk])
                done += 1
                after_batch(loss if i == 0 else None)
            finished.append(self._read_later(done))
        self._optimizer.iterations.assign(self._done)
        loss, right, weight = self._sums.tolist()
        return loss / len(batches), right / weight

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self._fused.network.input_shape[1])

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities ``(N, 7)`` of grey faces ``(N, S, S)`` uint8 by the network as it is now."""
        with torch.no_grad():
            answers = self._fused.call(self._augment(torch.from_numpy(faces).to(self._device), training=False))
        return np.asarray(answers.cpu().numpy(), np.float32)

    def _prepared(self, batches: BatchList) -> Iterator[list[Any]]:
        """Chunks of augmented faces, targets, weights and labels on the device.

        On a GPU a chunk is prepared on a stream of its own while the one before is learnt from.
        """
        for arrays in _chunks(batches, _FACES_AT_ONCE // batches.batch_size if self._on_gpu else 1):
            if self._beside is None:
                with torch.no_grad():
                    chunk = self._prepare(arrays)
                yield chunk
                continue
            with torch.cuda.stream(self._beside), torch.no_grad():
                chunk = self._prepare(arrays)
            torch.cuda.current_stream().wait_stream(self._beside)
            for part in chunk:
                part.record_stream(torch.cuda.current_stream())
            yield chunk

    def _prepare(self, arrays: Chunk) -> list[Any]:
        raw, targets, weights = (torch.from_numpy(array).to(self._device) for array in arrays)
        changed = self._augment(raw, training=True)
        _, clean = views(changed, both=False)
        labels = targets.argmax(-1)
        if self._teachers is not None:
            targets = self._objective.targets(targets, self._teachers(clean))
        return [changed if self._objective.both or changed.ndim == 4 else changed[:, 0], targets, weights, labels]

    def _one(self, batch: list[Any]) -> None:
        """A step. The first one makes the buffers, and on a GPU records the graph."""
        self._rate.fill_(keras_optimizer.rate_at(self._optimizer, self._done))
        if self._averages:
            self._average_share.fill_(1.0 - average_decay(self._done, float(self._optimizer.ema_momentum)))
        if not self._inputs:
            self._inputs = tuple(part.clone() for part in batch)
            if self._on_gpu:
                self._record()
        for buffer, part in zip(self._inputs, batch, strict=True):
            buffer.copy_(part)
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()
        self._done += 1

    def _compute(self) -> None:
        faces, targets, weights, labels = self._inputs
        both = self._objective.both
        answers = one_row_per_face(self._fused.call(views(faces, both=both)[0], training=True), both=both)
        losses = self._each_loss(answers, targets)
        loss = (losses * weights).mean()
        gradients = torch.autograd.grad(loss, self._parameters)
        if self._optimizer.global_clipnorm:
            gradients = _clipped(gradients, float(self._optimizer.global_clipnorm))
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient.contiguous()  # fused AdamW takes for granted that it lies as its parameter does
        self._adamw.step()
        for parameter in self._parameters:
            parameter.grad = None
        with torch.no_grad():
            if self._averages:
                # A tensor, since a recorded step repeats what it read, and the share changes from step to step.
                moves = torch._foreach_sub(self._parameters, self._averages)
                torch._foreach_mul_(moves, self._average_share)
                torch._foreach_add_(self._averages, moves)
            right = (answers[:, :NUM_EMOTIONS].argmax(-1) == labels) * weights
            self._sums += torch.stack([loss.detach(), right.sum(), weights.sum()])

    def _each_loss(self, answers: Any, targets: Any) -> Any:
        """As :meth:`fer_train.training.objective.Objective.loss`; the targets hold the teachers' answers already."""
        least = keras.config.epsilon()  # as in Keras' cross-entropy

        def entropy(own: Any) -> Any:
            return -(targets * own.clamp(least, 1.0 - least).log()).sum(-1)

        if not self._objective.both:
            return entropy(answers)
        seen, clean = answers[:, :NUM_EMOTIONS], answers[:, NUM_EMOTIONS:]
        apart = divergence(seen, clean, torch.log, lambda x: x.sum(-1))
        return 0.5 * (entropy(seen) + entropy(clean)) + self._objective.consistency * apart

    def _record(self) -> None:
        """Record one step; the steps that this takes to warm up are undone."""
        steps = [state["step"] for state in self._adamw.state.values()]
        moments = [state[name] for state in self._adamw.state.values() for name in ("exp_avg", "exp_avg_sq")]
        changed = [*self._state, *moments, *steps, *self._averages, self._sums]
        with torch.no_grad():
            before = [tensor.clone() for tensor in changed]
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP):
                self._compute()
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._compute()
        with torch.no_grad():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)

    def _read_later(self, done: int) -> tuple[Any, Any, int]:
        """The sums as they are after ``done`` batches, to be read when the device has come so far."""
        if not self._on_gpu:
            return self._sums.clone(), None, done
        copy = torch.empty(3, pin_memory=True)
        copy.copy_(self._sums, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return copy, event, done

    @staticmethod
    def _loss_once(promised: tuple[Any, Any, int]) -> float:
        """Waits until the device has come so far, which also keeps Python from running far ahead."""
        sums, event, done = promised
        if event is not None:
            event.synchronize()
        return float(sums[0]) / done


def _clipped(gradients: Sequence[Any], most: float) -> list[Any]:
    """Gradients scaled so that the norm of all together is at most ``most``; no value is read, so that it records."""
    total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    scaled: list[Any] = torch._foreach_mul(gradients, (most / (total + 1e-6)).clamp(max=1.0))
    return scaled


def _chunks(batches: BatchList, longest: int) -> Iterator[Chunk]:
    """Batches joined, in order, made in threads while the device computes: 1, 2, 4 and so on up to ``longest``.

    The first ones are short so that the device need not wait for long.
    """

    def make(part: tuple[int, int]) -> Chunk:
        faces, targets, weights = zip(*(batches[i] for i in range(*part)), strict=True)
        return np.concatenate(faces), np.concatenate(targets), np.concatenate(weights)

    parts: list[tuple[int, int]] = []
    while (start := parts[-1][1] if parts else 0) < len(batches):
        length = min(max(longest, 1), 1 << len(parts), len(batches) - start)
        parts.append((start, start + length))
    # More threads would only keep the one that feeds the device from the interpreter lock.
    yield from ordered_map(make, parts, batch=1, workers=max(1, min(4, usable_cpus() // 4)))
