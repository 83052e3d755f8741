"""A bounded queue between two threads that knows two policies: wait when full, or let the oldest item go."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Channel", "ChannelClosed", "Room"]

Item = TypeVar("Item")


class ChannelClosed(Exception):  # noqa: N818 - the end of a stream, as StopIteration is
    """Nothing more will come, and nothing more is taken."""


class Channel(Generic[Item]):
    """Bounded first-in first-out queue with an end.

    Args:
        size: the most items that wait, 1 or more.
        drop_oldest: a full channel loses its oldest item to the new one and :meth:`put` never waits, so what arrives at
            the other end is always fresh (where what is in use weighs all that may be there, the new one is lost);
            without it :meth:`put` waits.
        weigh: gives the bytes of an item; None: they do not count.
        most: bytes of what waits, and of what was taken last, until the next one is requested: until then it is in use.
            A single item always passes.

    Raises:
        ValueError: ``size`` is below 1.
    """

    def __init__(
        self, size: int, *, drop_oldest: bool = False, weigh: Callable[[Item], int] | None = None, most: int = 0
    ) -> None:
        if size < 1:
            raise ValueError(f"a channel holds at least one item, not {size}")
        self._size = size
        self._weigh = weigh
        self._most = most
        self._in_use = 0
        self._drop_oldest = drop_oldest
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self.dropped = 0
        """Items that were let go because the channel was full."""

    def put(self, item: Item) -> None:
        """Add an item.

        Args:
            item: the item.

        Raises:
            ChannelClosed: the channel has been closed.
        """
        with self._changed:
            while not self._closed and not self._drop_oldest and self._is_full(item, self._in_use):
                self._changed.wait()
            if self._closed:
                raise ChannelClosed
            while self._items and self._is_full(item, self._in_use):
                self._items.popleft()
                self.dropped += 1
            if self._is_full(item, self._in_use):  # only ever with drop_oldest: what is in use weighs enough
                self.dropped += 1
                return
            self._items.append(item)
            self._changed.notify_all()

    def _is_full(self, item: Item, in_use: int) -> bool:
        if len(self._items) >= self._size:
            return True
        if self._weigh is None:
            return False
        there = in_use + sum(map(self._weigh, self._items))
        return there > 0 and there + self._weigh(item) > self._most

    def get(self, timeout: float | None = None) -> Item:
        """Take the oldest item.

        Args:
            timeout: longest wait in seconds; None waits forever.

        Returns:
            The oldest item.

        Raises:
            TimeoutError: none came in time.
            ChannelClosed: all items are taken and the channel is closed; or the error that it was closed with.
        """
        with self._changed:
            if self._in_use:
                self._in_use = 0
                self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._items or self._closed, timeout):
                raise TimeoutError
            if self._items:
                item = self._items.popleft()
                self._in_use = self._weigh(item) if self._weigh is not None else 0
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise ChannelClosed

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until nothing waits, and what was taken last is not in use any more (only with ``weigh`` is that known).

        Args:
            timeout: longest wait in seconds; None waits forever.

        Returns:
            Whether it is so. Of a closed channel nobody can say.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._items or self._in_use), timeout)
            return not (self._closed or self._items or self._in_use)

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """End the channel. Items that wait can still be taken, unless ``discard``; then comes ``error``, if any.

        Args:
            error: raised by :meth:`get` after the last item, in place of :class:`ChannelClosed`.
            discard: drop the items that still wait.
        """
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            if discard:
                self._items.clear()
            self._changed.notify_all()


class Room:
    """Counts the bytes on the way, and lets one more item set out while they are few enough.

    Args:
        most: bytes; a single item always passes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self, n_bytes: int) -> None:
        """An item has set out; wait until there is room for another one like it.

        Args:
            n_bytes: size of the item.

        Raises:
            ChannelClosed: the end has come.
        """
        with self._changed:
            self._used += n_bytes
            while not self._closed and self._used and self._used + n_bytes > self._most:
                self._changed.wait()
            if self._closed:
                raise ChannelClosed

    def give_back(self, n_bytes: int) -> None:
        """An item has arrived.

        Args:
            n_bytes: size of the item, as it was taken.
        """
        with self._changed:
            self._used -= n_bytes
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
