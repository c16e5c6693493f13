"""Certificates that last as long as a visit: to listen at the sites, and to ask as the gateway.

Brokers hear of them, and of their end. Their keys are in a folder of this user's alone meanwhile.
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitalkeep.hub.address import Address
from vitalkeep.hub.tls import Identity
from vitalkeep.keys.ca import Bundle
from vitalkeep.provision.office import Office
from vitalkeep.site.knock import context_of
from vitalkeep.ward.plan import Site


class Visit:
    """Who somebody at the bench is to the sites.

    identity  of one who may listen and command; as_gateway: shows the gateway's name
    """

    def __init__(self, identity: Identity | None, as_gateway: ssl.SSLContext | None) -> None:
        self._identity = identity
        self._as_gateway = as_gateway

    def address(self, site: Site) -> Address:
        """Return a site's broker for whoever listens there."""
        return Address(site.host, site.port, identity=self._identity if site.tls else None)

    def context(self, site: Site) -> ssl.SSLContext | None:
        """Return what a session in the gateway's place takes at a site, None without TLS."""
        return self._as_gateway if site.tls else None


@contextmanager
def visiting(office: Office, gateway: str, needs_tls: bool) -> Iterator[Visit]:
    """Yield a visit; its certificates are revoked when it ends. Raises ToolError."""
    if not needs_tls:
        yield Visit(None, None)
        return
    authority, signer = office.authority, office.signer
    made: list[Bundle] = []
    try:
        name = f"bench-{secrets.token_hex(4)}"
        made.append(authority.issue(signer, "hub", name, office.now(), days=1))
        made.append(authority.issue(signer, "gateway", gateway, office.now(), days=1))
        office.sites.tell(office.now())
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            made[0].write(place)
            files = [place / f"{part}.pem" for part in ("ca", "certificate", "key")]
            yield Visit(Identity(*files), context_of(made[1]))
    finally:
        authority.revoke(signer, [bundle.issued for bundle in made], office.now())
        office.sites.tell(office.now())
