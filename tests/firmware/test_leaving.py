"""A gateway that is stopped takes its leave: a ventilator would raise an alarm otherwise."""

import asyncio
from pathlib import Path
from textwrap import dedent

from hil.board import FIRMWARE, VirtualBoard
from hil.ledger import Ledger
from hil.simulators.device import Plug
from hil.simulators.draeger_medibus import BAUD, CHARACTER_BITS, MedibusVentilator
from hil.simulators.line import SerialLine
from hil.tasks import end_tasks
from hil.vitals import VitalsModel

MAIN = f"""
    import sys

    sys.path.append({str(FIRMWARE)!r})
    import asyncio
    import time

    import wiring
    from bridge.core.protocols import make_decoder
    from bridge.links.uart import UartLine, open_uart

    LINE = {{"uart": 1, "baud": {BAUD}, "bits": 8, "parity": "E", "stop": 1}}


    class Clock:
        def mono_ms(self):
            return time.ticks_ms()


    readings = []
    decoder = make_decoder("draeger_medibus", {{}})
    line = UartLine(
        1, open_uart(LINE, wiring.UARTS[1]), decoder, lambda *event: readings.append(1), Clock()
    )


    async def main():
        asyncio.create_task(line.run(lambda: None))
        print("listening")
        while len(readings) < 3:
            await asyncio.sleep_ms(20)
        raise KeyboardInterrupt  # as mpremote stops a program


    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    finally:
        line.end()
    print("left")
    time.sleep_ms(200)  # what was sent is out before the board goes
"""


def test_a_ventilator_hears_that_the_session_ends(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(dedent(MAIN))
    heard = bytearray()

    class Listening(SerialLine):
        async def read(self) -> bytes:
            data = await super().read()
            heard.extend(data)
            return data

    async def run() -> None:
        board = VirtualBoard(tmp_path / "board", uarts=(1,), firmware=tmp_path)
        try:
            await board.start()
            await board.wait_for("listening")
            line = Listening(board.lines[1].master, BAUD, CHARACTER_BITS)
            model = VitalsModel(1)
            plug = Plug(line, lambda: model.sample(0.0), Ledger(), "bed", "ventilator")
            speaking = asyncio.ensure_future(MedibusVentilator(plug).run())
            await board.wait_for("left")
            while not heard.endswith(b"\x1bU70\r"):
                await asyncio.sleep(0.02)
            await end_tasks([speaking])
        finally:
            await board.close()

    asyncio.run(asyncio.wait_for(run(), 30))
