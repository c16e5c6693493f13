"""The far end of each device protocol, written from its document and not from our decoder.

A simulator is built from the Plug that says where it is plugged in; `run()` speaks for ever, until
it is cancelled. Its module says BAUD and CHARACTER_BITS, how the line is to be set, and OPTIONS,
what a driver must be told to read it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from importlib import import_module
from types import ModuleType
from typing import Any

from bridge.core.protocols import PROTOCOLS
from hil.simulators.device import Plug
from vitalkeep.doctor.setting import Setting

# protocol: what makes a device of it in its module, hil.simulators.<protocol>
SIMULATORS = {
    "alaris_asena": "AsenaPump",
    "aspect_bis": "BisVista",
    "astm": "BloodGasAnalyser",
    "bbraun_bcc": "SpaceCom",
    "capnostream": "Capnograph",
    "draeger_medibus": "MedibusVentilator",
    "fresenius_orchestra": "OrchestraBase",
    "ge_s5": "S5Monitor",
    "graseby_3400": "GrasebyPump",
    "hamilton": "HamiltonVentilator",
    "hl7_oru": "OruMonitor",
    "line_template": "Printer",
    "masimo_set": "MasimoOximeter",
    "mindray_pds": "BeneView",
    "modbus_ascii": "ModbusAsciiBus",
    "modbus_rtu": "field_units",
    "nellcor_oximax": "OximaxOximeter",
    "nonin": "NoninOximeter",
    "nurse_call": "Contact",
    "philips_intellivue": "IntellivueMonitor",
    "puritan_bennett": "PuritanVentilator",
    "puritan_bennett_waves": "PuritanWaves",
    "servo_cie": "ServoVentilator",
}


def module_of(name: str) -> ModuleType:
    """Return the module of a protocol's simulator; raises KeyError for an unknown one."""
    if name not in SIMULATORS:
        raise KeyError(name)
    return import_module(f"hil.simulators.{name}")


def setting_of(name: str) -> Setting:
    """Return how the device's port is set."""
    device, driver = module_of(name), import_module(PROTOCOLS[name][0])
    for text in driver.PORTS:
        setting = Setting.parse(text)
        if (setting.baud, setting.character_bits) == (device.BAUD, device.CHARACTER_BITS):
            return setting
    raise KeyError(f"{name}: {device.BAUD} bit/s is not among {driver.PORTS}")


def plug_in(name: str, plug: Plug) -> Coroutine[Any, Any, None]:
    """Return a device of this protocol that speaks for ever."""
    device = getattr(module_of(name), SIMULATORS[name])(plug)
    running: Coroutine[Any, Any, None] = device.run()
    return running
