"""Where a broker is: what fits together, and what is never shown."""

from pathlib import Path

import pytest

from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.hub.tls import Identity


def test_scheme_and_certificate_belong_together(tmp_path):
    identity = Identity(*(Path(tmp_path, f"{name}.pem") for name in ("ca", "certificate", "key")))
    assert str(Address.parse("mqtts://b.test", identity)) == "mqtts://b.test:8883"
    assert str(Address.parse("mqtt://b.test")) == "mqtt://b.test:1883"
    for url, given in (("mqtts://b.test", None), ("mqtt://b.test", identity), ("http://b", None)):
        with pytest.raises(ToolError):
            Address.parse(url, given)


@pytest.mark.parametrize("url", ["mqtt://", "mqtt://b.test:99999", "mqtt://[::1", "b.test", ""])
def test_address_that_makes_no_sense_is_refused(url):
    with pytest.raises(ToolError, match="makes no sense"):
        Address.parse(url)


def test_servers_of_a_cluster_stand_between_commas():
    first, second = Address.parse_all("mqtt://a.test, mqtt://b.test:1884")
    assert (first.port, second.host, second.port) == (1883, "b.test", 1884)


def test_password_of_a_broker_is_never_shown():
    address = Address.parse("mqtt://hub:s%40fe@host:1884")
    assert (address.host, address.port, address.password) == ("host", 1884, "s@fe")
    assert "fe" not in f"{address} {address!r}"
