"""A link does what cables, radios and people do to it, and TCP on top behaves accordingly."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hil.link import LinkProxy


@contextlib.asynccontextmanager
async def echo_behind(**options: Any) -> AsyncIterator[tuple[LinkProxy, int]]:
    """Yield a link to a server that echoes, and the port of its near end."""
    ends = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = LinkProxy("127.0.0.1", server.sockets[0].getsockname()[1], **options)
    try:
        yield link, await link.start()
    finally:
        await link.close()
        server.close()
        for writer in ends:
            writer.transport.abort()
        await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) <= 2  # this test, and the helper that waits for it


async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


def play(story: Any, **options: Any) -> None:
    async def run() -> None:
        async with echo_behind(**options) as (link, port):
            await asyncio.wait_for(story(link, port), 20)

    asyncio.run(run())


def test_bytes_pass_both_ways_and_are_counted() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await asyncio.sleep(0)
        assert (link.carried_up, link.carried_down, link.carried) == (5, 5, 10)
        assert (link.accepted, link.connections, link.is_up) == (1, 1, True)
        writer.close()

    play(story)


def test_a_close_arrives_as_a_close_and_loses_nothing() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        writer.write(b"last words" * 1000)
        writer.write_eof()
        assert await reader.read() == b"last words" * 1000
        writer.close()
        while link.connections:
            await asyncio.sleep(0.01)

    play(story)


def test_delay_counts_each_way_and_keeps_the_order() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        started = time.monotonic()
        for number in range(50):
            writer.write(b"%02d" % number)
            await asyncio.sleep(0.001)
        data = await reader.readexactly(100)
        assert data == b"".join(b"%02d" % number for number in range(50))
        assert 0.2 <= time.monotonic() - started < 2
        writer.close()

    play(story, delay_s=0.1)


def test_a_slow_link_is_slow() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        started = time.monotonic()
        writer.write(bytes(20000))
        await reader.readexactly(20000)
        assert 0.35 < time.monotonic() - started < 5
        writer.close()

    play(story, bytes_per_s=50000)


def test_a_cut_freezes_connections_and_a_restore_thaws_them() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        link.cut()
        writer.write(b"during")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert link.carried_up == 6
        assert not writer.is_closing()
        link.restore()
        assert await reader.readexactly(6) == b"during"
        writer.close()

    play(story)


def test_a_new_connection_goes_nowhere_while_the_link_is_cut() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        link.cut()
        reader, writer = await dial(port)
        writer.write(b"hello")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        link.restore()
        assert await reader.readexactly(5) == b"hello"
        writer.close()

    play(story)


def test_an_end_that_leaves_during_a_cut_is_missed_only_after_it() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        _, writer = await dial(port)
        writer.write(b"hello")
        await asyncio.sleep(0.05)
        link.cut()
        writer.transport.abort()
        await asyncio.sleep(0.2)
        assert link.connections == 1
        link.restore()
        while link.connections:
            await asyncio.sleep(0.01)

    play(story)


def test_a_sender_on_a_cut_link_is_held_back() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        _, writer = await dial(port)
        link.cut()
        sent = 0
        with contextlib.suppress(asyncio.TimeoutError):
            while sent < 64_000_000:
                writer.write(bytes(65536))
                await asyncio.wait_for(writer.drain(), 0.5)
                sent += 65536
        # The proxy's bound and what two kernels buffer, no more.
        assert sent < 32_000_000
        writer.transport.abort()

    play(story)


def test_a_reset_is_seen_at_once_by_both_ends() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        writer.write(b"hello")
        await reader.readexactly(5)
        link.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        while link.connections:
            await asyncio.sleep(0.01)
        again, writer = await dial(port)
        writer.write(b"again")
        assert await again.readexactly(5) == b"again"
        writer.close()

    play(story)


def test_a_target_that_is_down_refuses() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        dead = LinkProxy("127.0.0.1", 1)
        near = await dead.start()
        reader, writer = await dial(near)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        await dead.close()

    play(story)


def test_mangling_flips_some_bits_until_it_is_told_to_stop() -> None:
    def damage(seed: int) -> bytes:
        got = []

        async def story(link: LinkProxy, port: int) -> None:
            reader, writer = await dial(port)
            link.mangle(0.01, seed)
            writer.write(bytes(5000))
            got.append(await reader.readexactly(5000))
            assert link.mangled > 10
            link.mangle(0, 0)
            writer.write(bytes(5000))
            assert await reader.readexactly(5000) == bytes(5000)
            writer.close()

        play(story)
        return got[0]

    assert 10 < sum(1 for byte in damage(1) if byte) < 300
    assert damage(1) != damage(2)


def test_closing_while_cut_leaves_nothing() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        link.cut()
        _, first = await dial(port)
        link.restore()
        _, second = await dial(port)
        link.cut()
        for writer in (first, second):
            writer.write(bytes(100))
        await link.close()
        assert link.connections == 0
        for writer in (first, second):
            writer.transport.abort()

    play(story)


def test_one_byte_says_that_the_far_end_took_the_connection() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        began = time.monotonic()
        reader, writer = await dial(port)
        assert await reader.readexactly(1) == b"\x06"
        assert time.monotonic() - began >= 0.1
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()

    play(story, answers=True, delay_s=0.05)


def test_loss_makes_tcp_late_and_loses_nothing() -> None:
    async def story(link: LinkProxy, port: int) -> None:
        reader, writer = await dial(port)
        link.loss = 0.3
        began = time.monotonic()
        for _ in range(8):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert time.monotonic() - began >= 0.2
        writer.close()

    play(story)
