from __future__ import annotations

import threading
import time

import pytest

from fer_edge.channel import Channel, ChannelClosed, Room


def test_items_come_out_in_order_and_then_the_end() -> None:
    channel: Channel[int] = Channel(3)
    for item in range(3):
        channel.put(item)
    channel.close()
    assert [channel.get(), channel.get(), channel.get()] == [0, 1, 2]
    with pytest.raises(ChannelClosed):
        channel.get()
    with pytest.raises(ChannelClosed):
        channel.put(4)


def test_error_arrives_after_the_items() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.close(OSError("camera on fire"))
    channel.close()  # the first reason stays
    assert channel.get() == 1
    with pytest.raises(OSError, match="on fire"):
        channel.get()


def test_newest_wins() -> None:
    channel: Channel[int] = Channel(2, drop_oldest=True)
    for item in range(10):
        channel.put(item)
    assert channel.dropped == 8
    assert [channel.get(), channel.get()] == [8, 9]


def test_full_channel_makes_the_writer_wait_until_there_is_room() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    done = threading.Event()

    def write() -> None:
        channel.put(1)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.05)
    assert channel.get() == 0
    assert done.wait(5)
    assert channel.get() == 1
    thread.join()


@pytest.mark.parametrize("discard", [True, False])
def test_close_frees_a_waiting_writer(discard: bool) -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    closer = threading.Timer(0.05, lambda: channel.close(discard=discard))
    closer.start()
    with pytest.raises(ChannelClosed):
        channel.put(1)
    closer.join()
    if discard:
        with pytest.raises(ChannelClosed):
            channel.get()
    else:
        assert channel.get() == 0


def test_get_times_out() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Channel[int](1).get(0.05)
    assert time.monotonic() - began >= 0.045


def test_size_is_checked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Channel[int](0)


def test_what_weighs_too_much_waits_until_the_one_in_use_is_done() -> None:
    channel: Channel[int] = Channel(8, weigh=lambda item: item, most=40)
    channel.put(100)  # a single one always passes
    assert channel.get() == 100
    arrived: list[int] = []

    def put() -> None:
        channel.put(24)
        arrived.append(24)

    thread = threading.Thread(target=put)
    thread.start()
    time.sleep(0.1)
    assert arrived == []  # 100 is still in use
    assert channel.get(5.0) == 24
    thread.join(5.0)
    assert arrived == [24]


def test_a_heavy_item_is_lost_rather_than_waited_for() -> None:
    channel: Channel[int] = Channel(8, drop_oldest=True, weigh=lambda item: item, most=40)
    channel.put(24)
    channel.put(25)
    assert channel.dropped == 1
    assert channel.get() == 25
    channel.put(26)
    assert channel.dropped == 2
    with pytest.raises(TimeoutError):
        channel.get(0.01)
    channel.put(27)
    assert channel.get(1.0) == 27


def test_room_lets_one_more_set_out_when_there_is_room() -> None:
    room = Room(40)
    room.take(10)
    room.take(10)
    waiting = threading.Thread(target=lambda: room.take(20))  # with another one of 20 it would be 60
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    room.give_back(20)
    waiting.join(5.0)
    assert not waiting.is_alive()
    room.close()
    with pytest.raises(ChannelClosed):
        room.take(1)
