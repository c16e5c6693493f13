"""The simulated bus against another master: pymodbus, over a pseudo-terminal."""

import asyncio
import os
import tty
from collections.abc import Awaitable, Callable
from typing import Any

from pymodbus.client import AsyncModbusSerialClient

from hil.ledger import Ledger
from hil.rehearsal import run_at_once
from hil.simulators.device import Plug
from hil.simulators.line import SerialLine
from hil.simulators.modbus_rtu import (
    BAUD,
    CHARACTER_BITS,
    Banks,
    ModbusBus,
    crc16,
    framed,
    gas_panel,
    patient_warmer,
)
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


def test_bits_are_read_and_stand_in_no_ledger() -> None:
    async def talk(client: Any, bus: ModbusBus, ledger: Ledger) -> None:
        assert (await client.read_coils(0, count=1, device_id=10)).bits[0] is True
        found = await client.read_discrete_inputs(0, count=2, device_id=10)
        assert found.bits[:2] == [False, False]
        assert ledger.rows("bed-1") == {}

    with_master(talk)


def test_every_kind_of_write_is_refused() -> None:
    async def talk(client: Any, bus: ModbusBus, ledger: Ledger) -> None:
        answers = [
            await client.write_coil(0, True, device_id=10),
            await client.write_register(0, 1, device_id=10),
            await client.write_coils(0, [True], device_id=10),
            await client.write_registers(0, [1], device_id=10),
        ]
        assert [answer.exception_code for answer in answers] == [1] * 4
        assert bus.writes_refused == 4

    with_master(talk)


def test_frames_have_the_documented_checksum() -> None:
    assert crc16(b"123456789") == 0x4B37
    assert framed(bytes.fromhex("110400000003")) == bytes.fromhex("110400000003B29B")
    assert framed(bytes.fromhex("118402")) == bytes.fromhex("118402C304")


def test_sensor_without_value_is_the_marker_and_below_zero_is_signed() -> None:
    def registers(skin: float | None) -> list[tuple[int, str | None]]:
        vitals = VitalsModel(1).sample(0) | {"Tskin": skin, "Warmer power": 40.0}
        plug = Plug(SerialLine(0, BAUD), lambda: vitals, Ledger(), "bed-1", "warmer")

        async def banks() -> Banks:
            return patient_warmer(plug).banks()

        return list(run_at_once(banks())[3].values())

    assert registers(None) == [(0x7FFF, None), (40, "40")]
    assert registers(-0.5)[0] == (0xFFFB, "-0.5")
    assert registers(36.44)[0] == (364, "36.4")
    assert registers(9999.0)[0] == (0x7FFF, None)


def test_garbage_and_foreign_addresses_get_no_answer_and_do_no_harm() -> None:
    async def story() -> None:
        master, slave = os.openpty()
        for end in (master, slave):
            tty.setraw(end)
            os.set_blocking(end, False)
        line = SerialLine(master, BAUD, CHARACTER_BITS)
        plug = Plug(line, lambda: VitalsModel(1).sample(0), Ledger(), "bed-1", "gas-panel")
        task = asyncio.create_task(ModbusBus([gas_panel(plug)]).run())
        for junk in (bytes(range(256)) * 3, b"\xff", framed(b"\x05\x04\0\0\0\x03")):
            os.write(slave, junk)
            await asyncio.sleep(0.1)
        os.write(slave, framed(bytes.fromhex("110400000003")))
        await asyncio.sleep(0.3)
        answer = os.read(slave, 1000)
        assert answer[:3] == b"\x11\x04\x06"
        assert crc16(answer) == 0
        assert len(answer) == 11
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.close(master)
        os.close(slave)

    asyncio.run(story())
