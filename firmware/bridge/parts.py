"""The parts of a gateway that its board decides on: lines, links and sites, or why there is none.

Nothing of it runs later, so it is given up once a gateway is built. Each raises ConfigError for
what this board or this gateway does not have.
"""

import machine

from bridge.core.errors import ConfigError
from bridge.core.protocols import make_decoder
from bridge.links.rs485 import Rs485Line
from bridge.links.uart import UartLine, open_uart
from bridge.uplink import network
from bridge.uplink.forward import Forwarder, Site
from bridge.uplink.probe import ConnectProbe
from bridge.uplink.prober import Prober


def open_port(line, wiring):
    """Return the UART of a line, its connection, or the pin of a contact."""
    number = line["uart"]
    if "tcp" in line:
        from bridge.links.tcp import TcpPort

        try:
            return TcpPort(line["tcp"])
        except (ValueError, OSError):
            raise ConfigError("lines: tcp %r, want host:port in numbers" % line["tcp"])
    if line["protocol"] == "nurse_call" and number in getattr(wiring, "CONTACTS", ()):
        from bridge.links.contact import ContactPin

        return ContactPin(
            machine.Pin(wiring.CONTACTS[number], machine.Pin.IN, machine.Pin.PULL_UP)
        )
    if number not in wiring.UARTS:
        raise ConfigError("lines: this board has no uart %d" % number)
    return open_uart(line, wiring.UARTS[number])


def open_line(number, line, port, wiring, gateway):
    """Return the reader of a line; `gateway` has recorder and clock."""
    try:
        decoder = make_decoder(line["protocol"], line["options"])
    except KeyError:
        raise ConfigError("lines: no protocol %r in this firmware" % line["protocol"])
    parts = (number, port, decoder, gateway.recorder.take, gateway.clock)
    if not line["rs485"]:
        return UartLine(*parts)
    pin = wiring.RS485_ENABLE.get(line["uart"])
    enable = None if pin is None else machine.Pin(pin, machine.Pin.OUT, value=0)
    return Rs485Line(*parts, enable)


def open_links(wiring, gateway):
    """Return the Links; `gateway` has config, clock, counters and notice_link."""
    config = gateway.config
    settings = config.links
    used = {line["uart"] for line in config.lines if "tcp" not in line}
    for row in wiring.LINKS:
        if row["kind"] in settings and row.get("uart") in used:
            raise ConfigError("lines: uart %d is the modem's on this board" % row["uart"])
    links = network.open_links(wiring.LINKS, settings)
    if not links:
        raise ConfigError("links: want one of those of this board")
    hosts = []
    for site in config.sites:
        hosts += [host for host in (site["host"], site["server_name"]) if host not in hosts]
    route = network.make_route(links, config)
    return network.Links(
        links, route, gateway.clock, gateway.counters, gateway.notice_link, hosts,
        config.probe_ms, config.link_hold_ms, settings.get("dns", ()),
    )  # fmt: skip


def open_site(number, site, gateway):
    """Return the Forwarder of a site; `gateway` has identity, config and timekeeper."""
    id = bytes.fromhex(site["id"])
    keys = [key for known, key in gateway.identity.sites if known == id]
    if not keys:
        raise ConfigError("sites: %s: this gateway has no receipt key for it" % site["name"])
    if site["time_port"]:
        address = (site["host"], site["time_port"])
        gateway.timekeeper.add_site(number, site["name"], address, id, keys[0])
    server_name = site["server_name"] if site["tls"] else None
    place = Site(number, site["name"], site["host"], site["port"], id, keys[0], server_name)
    return Forwarder(place, gateway.config, gateway)


def measure(gateway):
    """Have the links measured: by what the sites' clocks take to answer, or their brokers."""
    links, probes = gateway.links, list(gateway.timekeeper.sites)
    if probes or len(links.links) > 1:
        # A connection is dearer than a datagram; but that a firewall may swallow.
        probes += [
            ConnectProbe(site["host"], site["port"], links.address_of)
            for site in gateway.config.sites
        ]
        links.prober = Prober(probes)
