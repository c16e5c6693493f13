"""What stands at each simulated bed: devices, lines, classes, and the gateway's configuration."""

import time
import zlib
from collections.abc import Coroutine
from typing import Any

from hil.ledger import Ledger
from hil.simulators import draeger_medibus, masimo_set, modbus_rtu
from hil.simulators.device import Plug
from hil.simulators.line import Faults, SerialLine
from hil.vitals import Sample

# The product's defaults, save class C: a minute's story cannot wait half of it for one commit.
COMMIT_MS = {"A": 100, "B": 5000, "C": 6000}

CLASS_OF = {"ventilator": "A", "oximeter": "A", "warmer": "B", "gas-panel": "C"}

# Parameters that the firmware's common table lacks
PARAMETERS = tuple(
    {"id": id, "label": label, "unit": unit}
    for id, label, unit in (
        (0x8000, "Tskin", "Cel"),
        (0x8001, "Warmer power", "%"),
        (0x8002, "O2 supply", "kPa"),
        (0x8003, "Air supply", "kPa"),
        (0x8004, "Vacuum", "kPa"),
    )
)

_VENTILATOR_UART, _OXIMETER_UART, _BUS_UART = 0, 1, 2


def _device(name: str, unit: int = 0) -> dict[str, Any]:
    return {"name": name, "class": CLASS_OF[name], "unit": unit}


def bed_config(
    bed: str, site: bytes, host: str, port: int, time_port: int, tls: bool = False
) -> dict[str, Any]:
    """Return the gateway's configuration: a ventilator, an oximeter, and a bus of two units."""
    place = {"name": "primary", "id": site.hex(), "host": host, "port": port, "tls": tls}
    return {
        "bed": bed,
        "sites": [place | {"time_port": time_port}],
        "commit_a_ms": COMMIT_MS["A"],
        "commit_b_ms": COMMIT_MS["B"],
        "commit_c_ms": COMMIT_MS["C"],
        "parameters": PARAMETERS,
        "lines": [
            {
                "uart": _VENTILATOR_UART,
                "protocol": "draeger_medibus",
                "baud": draeger_medibus.BAUD,
                "parity": "E",
                "devices": [_device("ventilator")],
            },
            {
                "uart": _OXIMETER_UART,
                "protocol": "masimo_set",
                "baud": masimo_set.BAUD,
                "devices": [_device("oximeter")],
            },
            {
                "uart": _BUS_UART,
                "protocol": "modbus_rtu",
                "baud": modbus_rtu.BAUD,
                "stop": 2,
                "rs485": True,
                # A virtual board may be starved for longer than a real one ever stands still.
                "options": modbus_rtu.OPTIONS | {"timeout_ms": 900},
                "devices": [_device("warmer", 10), _device("gas-panel", 17)],
            },
        ],
    }


def plug_devices(
    bed: str, masters: dict[int, int], sample: Sample, ledger: Ledger, noise: float = 0.0
) -> list[Coroutine[Any, Any, None]]:
    """Return the devices of a bed as coroutines that run for ever.

    masters  file descriptor of the far end of each UART's line
    noise    how often, from 0 to 1, a message is spoilt on the lines that have a checksum; on the
             oximeter's, which has none, a spoilt digit may look like another value
    """
    start_s = time.monotonic()

    def plug(device: str, line: SerialLine) -> Plug:
        return Plug(line, lambda: sample(time.monotonic() - start_s), ledger, bed, device)

    vent, oxi, bus = draeger_medibus, masimo_set, modbus_rtu
    half, seed = noise / 2, zlib.crc32(bed.encode())
    faults = Faults(noise=noise, flip=noise, drop=half, burst=half, half=half, seed=seed)
    vent_line = SerialLine(masters[_VENTILATOR_UART], vent.BAUD, vent.CHARACTER_BITS, faults)
    oxi_line = SerialLine(masters[_OXIMETER_UART], oxi.BAUD)
    bus_line = SerialLine(masters[_BUS_UART], bus.BAUD, bus.CHARACTER_BITS, faults)
    slaves = [
        bus.patient_warmer(plug("warmer", bus_line)),
        bus.gas_panel(plug("gas-panel", bus_line)),
    ]
    return [
        vent.MedibusVentilator(plug("ventilator", vent_line)).run(),
        oxi.MasimoOximeter(plug("oximeter", oxi_line)).run(),
        bus.ModbusBus(slaves).run(),
    ]
