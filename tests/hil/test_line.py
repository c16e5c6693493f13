"""The devices' end of a serial line: speed, deafness, faults."""

import asyncio
import os
import tty

from hil.simulators.line import Faults, SerialLine


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
