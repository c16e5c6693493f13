"""A crowd of connections takes no more than its share, and keeps nobody out."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from vitalkeep.hub.serving import CONNECTIONS_MAX, listen, quiet_server


async def ask(where, path):
    reader, writer = await asyncio.open_connection(*where)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    return reader, writer


def test_strangers_who_say_nothing_make_room_for_who_asks():
    async def story():
        go_on = asyncio.Event()

        async def stream(_):
            async def parts():
                yield b"one\n"
                await go_on.wait()
                yield b"two\n"

            return StreamingResponse(parts())

        async def plain(_):
            return PlainTextResponse("plain")

        pushed_out = []
        app = Starlette(routes=[Route("/stream", stream), Route("/plain", plain)])
        server = quiet_server(app, lambda: pushed_out.append(1))
        sock = listen("127.0.0.1", 0, "it", "")
        where = sock.getsockname()
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        viewer, viewers_end = await ask(where, "/stream")
        await viewer.readuntil(b"one\n")
        crowd = [await asyncio.open_connection(*where) for _ in range(CONNECTIONS_MAX + 20)]
        assert await crowd[0][0].read() == b""  # the first is the first to go
        reader, writer = await ask(where, "/plain")
        assert (await reader.readuntil(b"plain")).startswith(b"HTTP/1.1 200")
        assert len(pushed_out) == 22
        assert len(server.server_state.connections) == CONNECTIONS_MAX
        go_on.set()
        assert b"two\n" in await viewer.readuntil(b"two\n")
        for _, end in [*crowd, (reader, writer), (viewer, viewers_end)]:
            end.close()
        server.should_exit = True
        await serving

    asyncio.run(story())
