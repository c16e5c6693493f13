"""What each role may do on a site's broker: one table, whatever the broker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vitalkeep.keys.ca import Issued

# Role, then what it may publish and what it may read, as MQTT topic filters; {id} is its own.
# `radio` is a gateway's frame that a base station heard, `air` one that it is to send.
RIGHTS = {
    "gateway": (
        ("vk/{id}/log/+", "vk/{id}/health", "vk/{id}/state", "vk/{id}/reply"),
        ("vk/{id}/receipt", "vk/{id}/command"),
    ),
    "hub": (
        ("vk/+/receipt", "vk/+/command", "vk/+/air"),
        ("vk/+/log/+", "vk/+/health", "vk/+/state", "vk/+/reply", "vk/+/radio"),
    ),
    "relay": (("vk/{id}/radio",), ("vk/{id}/air",)),
}


@dataclass(frozen=True)
class User:
    """One holder of certificates.

    name          CN of its certificates
    certificates  the live ones: two while it changes from one to the next
    """

    name: str
    role: str
    certificates: tuple[Issued, ...]

    @property
    def publishes(self) -> list[str]:
        return self._topics(0)

    @property
    def reads(self) -> list[str]:
        return self._topics(1)

    def _topics(self, which: int) -> list[str]:
        id = self.certificates[0].id
        return [topic.format(id=id) for topic in RIGHTS[self.role][which]]


def users_of(live: Iterable[Issued], gateways: Iterable[str]) -> list[User]:
    """Return the users of a broker by role and name.

    live      certificates that are good today
    gateways  ids that the site's vault knows; others' certificates let nobody in here
    """
    known = set(gateways)
    found: dict[tuple[int, str], list[Issued]] = {}
    for issued in live:
        if issued.role in RIGHTS and (issued.role != "gateway" or issued.name in known):
            place = (list(RIGHTS).index(issued.role), issued.name)
            found.setdefault(place, []).append(issued)
    return [
        User(name, certificates[0].role, tuple(certificates))
        for (_, name), certificates in sorted(found.items())
    ]
