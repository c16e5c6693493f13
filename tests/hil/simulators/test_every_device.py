"""Each simulated device with the driver of its protocol, by the two tables."""

import pytest

from bridge.core.protocols import PROTOCOLS
from hil.simulators import SIMULATORS, module_of, setting_of
from hil.simulators.line import Faults
from hil.simulators.plan import Event
from tests.support.decoding import damage, readings
from tests.support.traffic import meant, said, traffic

NAMES = sorted(PROTOCOLS)
# Those whose frames carry a check of all that a value depends on
PIECEWISE = {"hamilton"}  # asked value by value: a round may lack some
CHECKED = {"alaris_asena", "draeger_medibus", "modbus_rtu"}


def test_every_protocol_has_its_device() -> None:
    assert sorted(SIMULATORS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_its_port_is_one_that_the_driver_knows(name: str) -> None:
    assert setting_of(name).baud == module_of(name).BAUD


@pytest.mark.parametrize("name", NAMES)
def test_a_minute_is_read_whole_and_nothing_is_damage(name: str) -> None:
    found = traffic(name)
    sent, read = meant(found.ledger), said(found.events)
    waves = sum(event[0] == "wave" for event in found.events)
    assert sum(sent.values()) >= 5 or waves >= 5
    # The last message may still be on its way.
    assert sum((sent - read).values()) <= 1, sent - read
    assert not read - sent
    assert damage(found.events) == {}


@pytest.mark.parametrize("what", ["wrong_baud", "unplug", "restart", "stall"])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_again_after_trouble(name: str, what: str) -> None:
    baud = 2 * setting_of(name).baud
    found = traffic(name, 120.0, events=(Event(what, 40.0, 20.0, baud=baud),))
    whole = len(readings(traffic(name, 120.0).events))
    # A sixth of the time is gone, and as much again may pass until a session stands.
    assert len(readings(found.events)) >= 0.6 * whole
    if name not in PIECEWISE:
        assert not said(found.events) - meant(found.ledger) - meant(found.ledger, spoilt=True)


@pytest.mark.parametrize("name", NAMES)
def test_no_sensor_is_no_value_and_never_zero(name: str) -> None:
    found = traffic(name, 60.0, events=(Event("sensor_off", 20.0, 20.0),))
    assert not said(found.events) - meant(found.ledger)


FAULTS = Faults(noise=0.1, flip=0.1, drop=0.05, double=0.05, burst=0.02, half=0.05, seed=3)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_whole_on_a_bad_line_is_read(name: str) -> None:
    found = traffic(name, 120.0, FAULTS)
    sent, read = meant(found.ledger), said(found.events)
    # A fault may take one good message along, where frames have no start of their own: the second
    # good message behind it is read. One may still be on its way.
    spoilt = sum(meant(found.ledger, spoilt=True).values())
    assert sum((sent - read).values()) <= spoilt + 1
    waves = sum(event[0] == "wave" for event in found.events)
    assert sum(sent.values()) >= 10 or waves >= 10 or name in PIECEWISE
    if name in CHECKED:
        assert not read - sent - meant(found.ledger, spoilt=True)
