"""Each simulated device with the driver of its protocol, by the two tables."""

import pytest

from bridge.core.protocols import PROTOCOLS
from hil.simulators import SIMULATORS, module_of, setting_of
from tests.support.decoding import damage
from tests.support.traffic import meant, said, traffic

NAMES = sorted(PROTOCOLS)


def test_every_protocol_has_its_device() -> None:
    assert sorted(SIMULATORS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_its_port_is_one_that_the_driver_knows(name: str) -> None:
    assert setting_of(name).baud == module_of(name).BAUD


@pytest.mark.parametrize("name", NAMES)
def test_a_minute_is_read_whole_and_nothing_is_damage(name: str) -> None:
    found = traffic(name)
    sent, read = meant(found.ledger), said(found.events)
    assert sum(sent.values()) >= 5
    # The last message may still be on its way.
    assert sum((sent - read).values()) <= 1, sent - read
    assert not read - sent
    assert damage(found.events) == {}
