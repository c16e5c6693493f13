"""The devices' end of a serial line: speed, deafness, faults."""

import asyncio
import contextlib
import os
import tty
from collections.abc import Iterator

import pytest

from hil.simulators.line import Faults, SerialLine


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pseudo-terminal."""
    master, slave = os.openpty()
    tty.setraw(slave)
    for end in (master, slave):
        os.set_blocking(end, False)
    yield master, slave
    os.close(master)
    os.close(slave)


def test_bytes_arrive_and_the_line_takes_its_time() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        line = SerialLine(master, 9600)
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert await line.send(bytes(96))
        assert loop.time() - start >= 0.099
        await asyncio.sleep(0.05)  # the kernel hands it over in its own time
        assert os.read(slave, 200) == bytes(96)
        os.write(slave, b"poll")
        assert await line.read() == b"poll"
        os.close(master)
        os.close(slave)

    asyncio.run(story())


def test_bytes_that_nobody_takes_are_counted_and_never_block() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        line = SerialLine(master, 10_000_000)
        for _ in range(100):
            await asyncio.wait_for(line.send(bytes(1000)), 5)
        assert line.unheard > 50_000
        os.close(master)
        os.close(slave)

    asyncio.run(story())


def test_spoilt_messages_are_told_from_good_ones() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        os.set_blocking(slave, False)
        line = SerialLine(master, 10_000_000, 10, Faults(flip=0.3, drop=0.3, half=0.2, seed=1))
        good = 0
        for index in range(60):
            message = bytes((index,)) * 20
            whole = await line.send(message)
            await asyncio.sleep(0.005)  # the kernel hands it over in its own time
            try:
                came = os.read(slave, 100)
            except BlockingIOError:
                came = b""  # cut before its first byte
            assert (came == message) == whole
            good += whole
        assert 10 < good < 40
        os.close(master)
        os.close(slave)

    asyncio.run(story())


@pytest.mark.parametrize("fault", ["flip", "drop", "double", "burst", "half"])
def test_every_kind_of_damage_is_told(fault: str) -> None:
    async def story() -> None:
        with terminal() as (master, slave):
            line = SerialLine(master, 10_000_000, 10, Faults(**{fault: 1.0}, seed=3))
            assert not await line.send(bytes(range(1, 60)))
            await asyncio.sleep(0.05)
            assert os.read(slave, 200) != bytes(range(1, 60))

    asyncio.run(story())


def test_noise_comes_before_a_message_that_stays_whole() -> None:
    async def story() -> None:
        with terminal() as (master, slave):
            line = SerialLine(master, 10_000_000, 10, Faults(noise=1.0, seed=3))
            assert await line.send(b"message")
            await asyncio.sleep(0.05)
            heard = os.read(slave, 200)
            assert heard.endswith(b"message")
            assert len(heard) > len(b"message")

    asyncio.run(story())


def test_two_who_send_at_once_take_turns() -> None:
    async def story() -> None:
        with terminal() as (master, slave):
            line = SerialLine(master, 115_200)
            await asyncio.gather(line.send(b"a" * 40), line.send(b"b" * 40))
            await asyncio.sleep(0.05)
            assert os.read(slave, 200) == b"a" * 40 + b"b" * 40

    asyncio.run(story())


def test_line_that_nobody_holds_is_waited_for_and_closes() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        name = os.ttyname(slave)
        os.set_blocking(master, False)
        os.close(slave)
        line = SerialLine(master, 115_200)
        reading = asyncio.create_task(line.read())
        await asyncio.sleep(0.1)
        slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(slave)
        os.write(slave, b"back")
        assert await asyncio.wait_for(reading, 5) == b"back"
        os.close(slave)
        line.close()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(master)

    asyncio.run(story())
