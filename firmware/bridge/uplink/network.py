"""The link to the hospital's network: brought up, asked whether it is up."""


class Lan:
    """Wired Ethernet (`network.LAN`)."""

    name = "lan"

    def __init__(self, options):
        from network import LAN

        self._nic = LAN(**options)

    def start(self):
        self._nic.active(True)

    def is_up(self):
        return self._nic.isconnected()


LINKS = {"lan": Lan}


def open_link(wiring):
    """Return the link that the board's wiring names; raises KeyError for an unknown kind."""
    return LINKS[wiring["kind"]](wiring.get("options", {}))
