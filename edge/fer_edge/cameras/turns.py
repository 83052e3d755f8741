"""What waits of several cameras: one item each, the newest, and whoever waits longest is next."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from fer_edge.channel import ChannelClosed

__all__ = ["Turns"]

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Turns(Generic[Key, Item]):
    """A place for one item of each camera, emptied in turn.

    A camera queues up with its first item. A newer item takes the place of the older one and leaves the queue as it is,
    and after its turn a camera queues up at the end: so each one that has something waits for one item of each other
    camera at most, however fast those are.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, Item] = {}  # in the order of the queue: a new value leaves a key where it is
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, key: Key, item: Item, *, wait: bool = False) -> bool:
        """Leave an item.

        Args:
            key: whose it is.
            item: the newest.
            wait: until the one before has been taken, instead of replacing it.

        Returns:
            Whether an older item was replaced.

        Raises:
            ChannelClosed: nothing more is taken.
        """
        with self._changed:
            while wait and key in self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                raise ChannelClosed
            replaced = key in self._waiting
            self._waiting[key] = item
            if not replaced:
                self._changed.notify_all()
            return replaced

    def get(self, timeout: float | None = None) -> tuple[Key, Item]:
        """Take the item of whoever waits longest.

        Args:
            timeout: longest wait in seconds; None waits forever.

        Returns:
            Whose it is, and the item.

        Raises:
            TimeoutError: none came in time.
            ChannelClosed: all items are taken, and no more will come; or the error that it was closed with.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._closed, timeout):
                raise TimeoutError
            if not self._waiting:
                raise self._error or ChannelClosed
            key = next(iter(self._waiting))
            item = self._waiting.pop(key)
            self._changed.notify_all()
            return key, item

    def forget(self, key: Key) -> bool:
        """Drop what waits of a camera.

        Args:
            key: of the camera.

        Returns:
            Whether there was anything.
        """
        with self._changed:
            dropped = self._waiting.pop(key, None) is not None
            self._changed.notify_all()
            return dropped

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """End it. What waits can still be taken, unless ``discard``; then comes ``error``, if any.

        Args:
            error: raised by :meth:`get` after the last item, in place of :class:`ChannelClosed`.
            discard: drop what still waits.
        """
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            if discard:
                self._waiting.clear()
            self._changed.notify_all()
