"""To one gateway, whichever way: through a site's broker, or over a USB cable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from vitalkeep.diagnose.usb import Usb
from vitalkeep.errors import ToolError
from vitalkeep.hub.address import Address
from vitalkeep.hub.config.chosen import data_home, find_identity
from vitalkeep.keys.vault import Gateway, Vault
from vitalkeep.remote.desk import Desk


def known_gateways(folder: Path | None) -> dict[bytes, Gateway]:
    """Return {id: Gateway} of a vault; of the default one, or {} where that is not there.

    Raises  ToolError when a vault cannot be opened
    """
    place = folder or data_home() / "vault"
    if folder is None and not place.exists():
        return {}
    return {gateway.id: gateway for gateway in Vault.open(place).gateways()}


def find_gateway(name: str, folder: Path | None) -> Gateway:
    """Return the gateway with this id or at this bed; raises ToolError."""
    known = Vault.open(folder or data_home() / "vault").gateways()
    found = [one for one in known if name in (one.id.hex(), one.bed) and not one.revoked]
    if len(found) != 1:
        why = "no such gateway" if not found else "several gateways have this bed"
        raise ToolError(f"{name}: {why}", "See vitalkeep vault list.")
    return found[0]


@contextlib.asynccontextmanager
async def over_mqtt(
    name: str | None,
    folder: Path | None,
    broker: str | None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> AsyncIterator[Desk]:
    """Yield a desk for the gateway `name`; raises ToolError."""
    if name is None:
        raise ToolError("no gateway is named", "Name its id or its bed; or --port for USB.")
    url = broker or os.environ.get("VITALKEEP_BROKER")
    if not url:
        raise ToolError("no broker is named", "Name that of a site: --broker mqtts://host:port.")
    address = Address.parse(url, find_identity(ca, certificate, key))
    async with Desk.at(find_gateway(name, folder), address) as desk:
        yield desk


@contextlib.contextmanager
def over_usb(name: str | None, folder: Path | None, port: str) -> Iterator[Usb]:
    """Yield a conversation over a cable; `name`, if given, must be the gateway's id or bed."""
    with Usb(port, known_gateways(folder)) as usb:
        said = usb.greet()
        if name is not None and name not in (said["gateway"], said["bed"]):
            raise ToolError(
                f"{port}: this is gateway {said['gateway']} of {said['bed']}, not {name}",
                "Plug in the other one, or leave the name out.",
            )
        yield usb
