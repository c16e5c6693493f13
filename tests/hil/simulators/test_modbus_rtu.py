"""The simulated bus against another master: pymodbus, over a pseudo-terminal."""

import asyncio
import os
import tty
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus.client import AsyncModbusSerialClient

from hil.ledger import Ledger
from hil.simulators.device import Plug
from hil.simulators.line import SerialLine
from hil.simulators.modbus_rtu import BAUD, CHARACTER_BITS, ModbusBus, gas_panel, patient_warmer
from hil.vitals import VitalsModel


def with_master(talk: Callable[[Any, ModbusBus, Ledger], Awaitable[None]]) -> None:
    async def story() -> None:
        master, slave = os.openpty()
        for end in (master, slave):
            tty.setraw(end)
        os.set_blocking(master, False)
        ledger = Ledger()
        line = SerialLine(master, BAUD, CHARACTER_BITS)

        def plug(device: str) -> Plug:
            return Plug(line, lambda: VitalsModel(1).sample(0), ledger, "bed-1", device)

        bus = ModbusBus([patient_warmer(plug("warmer")), gas_panel(plug("gas-panel"))])
        task = asyncio.create_task(bus.run())
        client = AsyncModbusSerialClient(
            os.ttyname(slave), baudrate=BAUD, stopbits=2, timeout=1, retries=0
        )
        assert await client.connect()
        try:
            await talk(client, bus, ledger)
        finally:
            client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.close(master)
            os.close(slave)

    asyncio.run(story())


def test_both_units_answer_on_one_bus() -> None:
    async def talk(client: Any, bus: ModbusBus, ledger: Ledger) -> None:
        panel = await client.read_input_registers(0, count=3, device_id=17)
        warmer = await client.read_holding_registers(0, count=2, device_id=10)
        rows = ledger.rows("bed-1")
        said = rows[("gas-panel", 0)][0].values
        assert [str(value) for value in panel.registers] == list(said.values())
        assert rows[("warmer", 0)][0].values["Tskin"] == f"{warmer.registers[0] / 10:.1f}"

    with_master(talk)


def test_wrong_requests_are_refused_and_writes_counted() -> None:
    async def talk(client: Any, bus: ModbusBus, ledger: Ledger) -> None:
        assert (await client.read_input_registers(2, count=2, device_id=17)).exception_code == 2
        assert (await client.read_holding_registers(0, count=1, device_id=17)).exception_code == 1
        assert (await client.write_register(0, 1, device_id=10)).exception_code == 1
        assert bus.writes_refused == 1
        assert ledger.rows("bed-1") == {}

    with_master(talk)
