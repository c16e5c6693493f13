"""Lines that are no UART: a device on the network, and a contact on a pin."""

import asyncio
import socket
from pathlib import Path
from textwrap import dedent

from hil.board import FIRMWARE, VirtualBoard
from hil.ledger import Ledger
from hil.simulators import plug_in
from hil.simulators.device import Plug
from hil.simulators.line import SerialLine
from hil.tasks import end_tasks
from hil.vitals import VitalsModel

READER = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import time

    from bridge.core.protocols import make_decoder
    from bridge.links.tcp import TcpPort
    from bridge.links.uart import UartLine

    class Clock:
        def mono_ms(self):
            return time.ticks_ms()

    def take(number, event):
        print("took", type(event).__name__, getattr(event, "group", ""))

    decoder = make_decoder("mindray_pds", {{}})
    line = UartLine(0, TcpPort("127.0.0.1:%PORT%"), decoder, take, Clock())
    print("begins")
    asyncio.run(line.run(lambda: None))
"""


def test_a_monitor_on_the_network_is_read_and_read_again_after_it_hung_up(tmp_path: Path) -> None:
    model = VitalsModel(1)

    async def story() -> None:
        ledger = Ledger()
        connections = 0

        async def serve(connection: socket.socket) -> None:
            nonlocal connections
            connections += 1
            connection.setblocking(False)
            line = SerialLine(connection.detach(), 115200)
            plug = Plug(line, lambda: model.sample(1.0), ledger, "bed-1", "monitor")
            device = asyncio.ensure_future(plug_in("mindray_pds", plug))
            await asyncio.sleep(2.5)
            await end_tasks([device])
            line.close()

        async def accept(server: socket.socket) -> None:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(server)
                await serve(connection)

        server = socket.create_server(("127.0.0.1", 0))
        server.setblocking(False)
        accepting = asyncio.ensure_future(accept(server))
        port = server.getsockname()[1]
        (tmp_path / "main.py").write_text(dedent(READER).replace("%PORT%", str(port)))
        board = VirtualBoard(tmp_path / "board", uarts=(), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("took Observation 0")
            await board.wait_for("took Observation 1")
            while connections < 2:
                await asyncio.sleep(0.1)
            seen = sum("Observation" in text for text in board.output)
            while sum("Observation" in text for text in board.output) < seen + 2:
                await asyncio.sleep(0.1)
            assert not any("Damage" in text for text in board.output)
        finally:
            await board.close()
            await end_tasks([accepting])
            server.close()

    asyncio.run(asyncio.wait_for(story(), 60))


CONTACT = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import time

    from bridge.core.events import Alarm
    from bridge.core.protocols import make_decoder
    from bridge.links.contact import ContactPin
    from bridge.links.uart import UartLine
    from machine import Pin

    class Clock:
        def mono_ms(self):
            return time.ticks_ms()

    def take(number, event):
        if isinstance(event, Alarm):
            print("alarm", event.text, event.active)

    pin = Pin(4, Pin.IN, Pin.PULL_UP, value=1)
    line = UartLine(0, ContactPin(pin), make_decoder("nurse_call", {{}}), take, Clock())

    async def main():
        asyncio.create_task(line.run(lambda: None))
        await asyncio.sleep_ms(400)
        pin.value(0)
        await asyncio.sleep_ms(30)
        pin.value(1)
        await asyncio.sleep_ms(400)
        print("bounced")
        pin.value(0)
        await asyncio.sleep_ms(400)
        pin.value(1)
        await asyncio.sleep_ms(400)
        print("over")

    asyncio.run(main())
"""


def test_a_contact_on_a_pin_calls_when_it_closes_for_long_enough(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(dedent(CONTACT))

    async def story() -> list[str]:
        board = VirtualBoard(tmp_path / "board", uarts=(), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("over")
            return list(board.output)
        finally:
            await board.close()

    said = [text for text in asyncio.run(story()) if "alarm" in text or "bounced" in text]
    assert said == ["bounced", "alarm NURSE CALL True", "alarm NURSE CALL False"]
