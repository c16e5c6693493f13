"""The far end of each device protocol, written from its document and not from our decoder.

A simulator is built from the Plug that says where it is plugged in; a bus is built from its
slaves, each with its own Plug on the bus's line. `run()` speaks for ever, until it is cancelled.
"""

from importlib import import_module
from typing import Any, Protocol

# protocol -> module and class; loaded only when it is asked for
SIMULATORS = {
    "draeger_medibus": ("hil.simulators.draeger_medibus", "MedibusVentilator"),
    "masimo_set": ("hil.simulators.masimo_set", "MasimoOximeter"),
    "modbus_rtu": ("hil.simulators.modbus_rtu", "ModbusBus"),
}


class Simulator(Protocol):
    """What every simulator can do."""

    async def run(self) -> None:
        """Speak, for ever."""


def load_simulator(protocol: str) -> Any:
    """Return the simulator's class; KeyError for a protocol that has none."""
    module, name = SIMULATORS[protocol]
    return getattr(import_module(module), name)
