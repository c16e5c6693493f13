"""The far end of each device protocol, written from its document and not from our decoder.

A simulator is built from the Plug that says where it is plugged in; `run()` speaks for ever, until
it is cancelled. Its module says BAUD and CHARACTER_BITS, how the line is to be set, and OPTIONS,
what a driver must be told to read it. Where a device can be set otherwise there is
`configured(plug, options)`.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from bridge.core.protocols import PROTOCOLS
from hil.errors import RigError
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


def plug_in(
    name: str, plug: Plug, options: Mapping[str, Any] | None = None
) -> Coroutine[Any, Any, None]:
    """Return a device of this protocol that speaks for ever.

    options  how it is set, as its driver is told; raises RigError where there is no choice
    """
    module = module_of(name)
    if options is None or options == module.OPTIONS:
        device = getattr(module, SIMULATORS[name])(plug)
    elif hasattr(module, "configured"):
        device = module.configured(plug, options)
    else:
        known = json.dumps(module.OPTIONS)
        raise RigError(f"{name}: this device cannot be set", f"Its options are {known}.")
    running: Coroutine[Any, Any, None] = device.run()
    return running
