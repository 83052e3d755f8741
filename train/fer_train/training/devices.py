"""Several devices and hosts for the float stage, by Keras' own distribution on JAX (``keras.distribution``).

Every batch is split over all devices, weights are replicated, gradients and BatchNorm statistics are those of the whole
batch: the same training as on one device, only the sums are rounded in another order. With several hosts each runs the
same command with its own number; host 0 alone evaluates for the record, writes files and goes on to the QAT stage.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fer_edge.errors import MissingDependencyError, UsageError
from fer_train.logs import LOG

__all__ = ["ALL", "Devices", "Hosts", "hosts_from", "open_devices"]

ALL = "all"
_ADDRESS, _COUNT, _NUMBER = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))


@dataclass(frozen=True)
class Hosts:
    """Which of how many processes this one is, and where process 0 listens; one process when ``address`` is None."""

    address: str | None = None
    """``HOST:PORT`` of process 0; None for a single process."""
    count: int = 1
    """How many processes."""
    number: int = 0
    """Which of them this is, from 0."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.number == 0


def hosts_from(options: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Hosts:
    """The hosts that options or Keras' environment variables describe.

    Args:
        options: ``coordinator``, ``num_hosts`` and ``host_id``, where they were given.
        environment: variables, of which those of ``keras.distribution`` count.

    Returns:
        The hosts.

    Raises:
        UsageError: only some of them are given, or they do not fit together.
    """
    address = options.get("coordinator") or environment.get(_ADDRESS) or None
    count = _whole(options.get("num_hosts", environment.get(_COUNT)), "--num-hosts")
    number = _whole(options.get("host_id", environment.get(_NUMBER)), "--host-id")
    if address is None and count is None and number is None:
        return Hosts()
    if address is None or count is None or number is None:
        raise UsageError("several hosts need --coordinator, --num-hosts and --host-id together")
    if count < 1 or not 0 <= number < count:
        raise UsageError(f"--host-id counts from 0 to --num-hosts - 1, got {number} of {count}")
    if ":" not in address:
        raise UsageError(f"--coordinator is ADDRESS:PORT of host 0, got {address!r}")
    return Hosts(address, count, number)


def _whole(value: Any, option: str) -> int | None:
    try:
        return None if value in (None, "") else int(value)
    except ValueError:
        raise UsageError(f"{option} is a whole number, got {value!r}") from None


@dataclass(frozen=True)
class Devices:
    """What the float stage trains on. The default is what Keras does by itself: one device."""

    distribution: Any | None = None
    """Keras' distribution; None for a single device."""
    hosts: Hosts = Hosts()
    """The processes."""
    count: int = 1
    """How many devices, over all hosts."""

    @property
    def part(self) -> tuple[int, int]:
        """This process's piece of every batch, ``(i, n)``."""
        return self.hosts.number, self.hosts.count

    def enter(self) -> None:
        """From now on networks are built and trained on all devices."""
        if self.distribution is not None:
            import keras

            keras.distribution.set_distribution(self.distribution)

    @contextlib.contextmanager
    def local(self) -> Iterator[None]:
        """Within, networks are built and run on one device of this process.

        Yields:
            Nothing.
        """
        if self.distribution is None:
            yield
            return
        import keras

        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self.distribution)

    def require_equal(self, value: int, what: str) -> None:
        """Make sure that all hosts have the same value.

        Args:
            value: of this host.
            what: it is, for the message.

        Raises:
            UsageError: on every host, when it is not the same on all.
        """
        if self.hosts.count == 1:
            return
        import numpy as np

        multihost_utils: Any = importlib.import_module("jax.experimental.multihost_utils")
        values = np.asarray(multihost_utils.process_allgather(np.array(value)))
        if len(np.unique(values)) > 1:
            raise UsageError(
                f"{what} differs between the hosts ({', '.join(map(str, values))}); share the --run folder"
            )

    def leave(self) -> None:
        """Back to one device; hosts part here, together, so that none waits for another's later work."""
        if self.distribution is None:
            return
        import keras

        keras.distribution.set_distribution(None)
        if self.hosts.count > 1:
            _jax().distributed.shutdown()


def _configured_backend() -> str:
    import keras

    return str(keras.backend.backend())


def _jax() -> Any:
    try:
        return importlib.import_module("jax")
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or "jax", "jax") from error


def open_devices(choice: str | None, hosts: Hosts) -> Devices:
    """Choose devices, and connect the hosts.

    Args:
        choice: ``all``, a number, or None for what Keras does by itself.
        hosts: the hosts.

    Returns:
        The devices.

    Raises:
        UsageError: there are not that many, the hosts do not find each other, or Keras does not run on JAX.
    """
    if choice is None and hosts.count == 1:
        return Devices()
    choice = choice or ALL
    if choice != ALL and (not choice.isdecimal() or int(choice) < 1):
        raise UsageError(f"--devices is 'all' or a number, got {choice!r}")
    if hosts.count > 1 and choice != ALL:
        raise UsageError("several hosts train on all their devices; hide some with CUDA_VISIBLE_DEVICES")
    if (os.environ.get("KERAS_BACKEND") or _configured_backend()) != "jax":
        raise UsageError("several devices need Keras on JAX: set KERAS_BACKEND=jax in the environment")
    jax = _jax()
    import keras

    if hosts.count > 1:
        # Of use only where the devices are CPUs, which have no collectives of their own.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.utils.set_random_seed(0)  # the stage sets its own; without any, Keras lets the hosts agree on one
        try:
            keras.distribution.initialize(hosts.address, hosts.count, hosts.number)
        except RuntimeError as error:
            raise UsageError(f"the hosts did not find each other at {hosts.address}: {error}") from error
    names = keras.distribution.list_devices()
    number = len(names) if choice == ALL else int(choice)
    if number > len(names):
        raise UsageError(f"--devices {number}: there are {len(names)} ({', '.join(names)})")
    # Each process cuts its own piece out of every batch; Keras need not (and can only do so for tf.data).
    LOG.debug(f"training on {', '.join(names[:number])} of {hosts.count} host(s), this one is number {hosts.number}")
    distribution = keras.distribution.DataParallel(devices=names[:number], auto_shard_dataset=False)
    return Devices(distribution, hosts, number)
