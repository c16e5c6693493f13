"""The board's links: each is brought up, watched and measured; one of them carries the sessions.

A link's kind is one file and one line of LINKS. Its class takes the row of the board's wiring and
the settings of the gateway's configuration (docs/guides/links.md).
"""

import asyncio

from micropython import const

from bridge.core.address import is_address
from bridge.core.journal import records
from bridge.core.route import DEAF, DOWN, GRADES, LOST, Route, Turns
from bridge.uplink.nic import NO_ADDRESS, STARTING

# kind, module, class, its settings in config.json ("" for none)
LINKS = (
    ("lan", "bridge.uplink.lan", "Lan", ""),
    ("w5500", "bridge.uplink.w5500", "W5500", ""),
    ("wifi", "bridge.uplink.wlan", "Wlan", "wifi"),
    ("cellular", "bridge.uplink.ppp", "Ppp", "cellular"),
)

_RESTING = "resting"  # where only one can be up at a time
CAPTIVE_PORTAL = "captive_portal"
DNS_GONE = "dns_gone"

_WATCH_MS = const(100)
_TEND_MS = const(250)
_FAULT_MS = const(3000)  # a fault that goes away sooner is nobody's business
_RENEW_MAX_MS = const(600000)
_PORTAL_EVERY_MS = const(5000)
_RETRY_MS = const(600000)


def open_links(rows, settings):
    """Return the links of the board's wiring, but for those the configuration says nothing of.

    rows      of wiring.LINKS, in the order of preference
    settings  "links" of the configuration
    Raises    KeyError for a kind that no firmware knows
    """
    kinds = {kind: rest for kind, *rest in LINKS}
    links = []
    for row in rows:
        module, name, needs = kinds[row["kind"]]
        if needs and needs not in settings:
            continue
        made = __import__(module, None, None, (name,))
        links.append(getattr(made, name)(row, settings.get(needs)))
    return links


def make_route(links, config):
    """Return how to choose: by measurement where sockets can be bound, else by turns."""
    slow_ms, hold_ms = config.link_slow_ms, config.link_hold_ms
    if len(links) < 2 or all(link.binds for link in links):
        return Route(len(links), slow_ms, config.link_steady_ms, hold_ms)
    return Turns(len(links), slow_ms, hold_ms, hold_ms, _RETRY_MS)


class Links:
    """All links of a gateway.

    links     as `open_links` returns them
    route     Route or Turns
    clock     for mono_ms(); counters: for faults
    say       say(event, text) writes an event to the log
    hosts     of the sites, as configured
    probe_ms  between two probes of a link
    patience_ms  how long a link may be stuck before it begins anew
    servers   name servers of the configuration, before those of the links
    prober    async ask(interface) returns a round trip to a site in ms, or None; set it when the
              links are to be measured
    """

    def __init__(
        self, links, route, clock, counters, say, hosts, probe_ms, patience_ms, servers=()
    ):
        self.prober = None
        self.links = links
        self._route = route
        self._clock = clock
        self._counters = counters
        self._say = say
        self._hosts = hosts
        self._probe_ms = probe_ms
        self._patience_ms = patience_ms
        for link in links:
            link.probe_ms = link.probe_ms or probe_ms
        self._servers = list(servers)
        self._resolver = None  # made for the first site that is given by name
        self._faults = [STARTING] * len(links)  # the last look, or what is wrong with what is up
        self._fault_ms = [0] * len(links)  # since when
        self._said = [""] * len(links)
        self._doubted = [False] * len(links)
        self._captive = [False] * len(links)

    # --- what others ask ---

    @property
    def current(self):
        """Number of the link that carries, None when there is none."""
        return self._route.current

    @property
    def interface(self):
        """Name of the current link for SO_BINDTODEVICE, None where it is not bound."""
        return None if self.current is None else self.links[self.current].interface

    def interfaces(self):
        """Return the names of all links that are up, the current one's first; None is any."""
        names = []
        for number, link in enumerate(self.links):
            if link.interface not in names and self._is_up(number):
                names.insert(0 if number == self.current else len(names), link.interface)
        return names

    def is_up(self, number=None):
        """Say whether a link is up, or the current one."""
        number = self.current if number is None else number
        return number is not None and self._is_up(number)

    async def address_of(self, host, interface=None):
        """Return the address of a host; raises OSError when nobody ever knew it."""
        if is_address(host):
            return host
        if self._resolver is None:
            from bridge.uplink.resolver import Resolver

            self._resolver = Resolver(self._clock, self._counters)
        servers = self._servers[:]
        for number, link in enumerate(self.links):
            if self._is_up(number) and link.interface == interface:
                servers += link.name_servers()
        return await self._resolver.address_of(host, servers, interface)

    def doubt(self, number):
        """Say that a stranger answered over a link where a site should be."""
        self._doubted[number] = True

    def report(self):
        """Return, by link: name, grade, median round trip in ms, lost of the last 20, fault."""
        rows = []
        for number, link in enumerate(self.links):
            gauge, fault = self._route.gauges[number], self._faults[number]
            rows.append((link.name, GRADES[gauge.grade], gauge.median_ms, gauge.lost, fault))
        return rows

    # --- the choice ---

    async def run(self, beat):
        """Notice links that come and go, and choose; for ever."""
        while True:
            beat()
            self.watch()
            await asyncio.sleep_ms(_WATCH_MS)

    def watch(self):
        """Look at every link once, and choose."""
        now_ms = self._clock.mono_ms()
        for number, link in enumerate(self.links):
            gauge = self._route.gauges[number]
            fault = link.look() if self._route.is_wanted(number) else _RESTING
            up = not fault
            self._note(number, fault or self._fault_of_what_is_up(number), now_ms)
            if up != (gauge.grade != DOWN):
                gauge.set_up(up, now_ms)
                text = link.name if up else "%s: %s" % (link.name, fault)
                self._say(records.LINK_UP if up else records.LINK_DOWN, text)
        was = self.current
        why = self._route.choose(now_ms)
        if why and self.current is not None:
            self._counters.add("link_changes")
            self._say(records.LINK_CHOSEN, self._reason(was, why))

    def _reason(self, was, why):
        name = self.links[self.current].name
        if was is None:
            return name
        if why in GRADES:
            why = "%s is %s" % (self.links[was].name, why)
        return "%s: %s" % (name, why)

    def _is_up(self, number):
        return self._route.is_wanted(number) and self.links[number].is_up()

    # --- each link ---

    def jobs(self):
        """Return (name, job) of each link, for the supervisor."""
        return [
            ("link_" + link.name, lambda beat, number=number: self._keep(number, beat))
            for number, link in enumerate(self.links)
        ]

    async def _keep(self, number, beat):
        """Bring one link up and keep it up, and measure it while it is; for ever."""
        link, gauge = self.links[number], self._route.gauges[number]
        wanted = False
        renew_ms = self._patience_ms
        renewed_ms = probed_ms = asked_ms = self._clock.mono_ms()
        while True:
            beat()
            await asyncio.sleep_ms(_TEND_MS)
            if wanted and not self._route.is_wanted(number):
                link.stop()
                self._captive[number] = False
            wanted = self._route.is_wanted(number)
            if not wanted:
                continue
            await link.tend(beat)
            now_ms = self._clock.mono_ms()
            if link.is_up():
                is_doubtful = self._doubted[number] or gauge.grade == DEAF
                if is_doubtful and now_ms - asked_ms >= _PORTAL_EVERY_MS:
                    asked_ms = now_ms
                    self._captive[number] = await self._is_captive(link, beat)
                    self._doubted[number] = self._captive[number]
                if now_ms - probed_ms >= self._every_ms(number):
                    probed_ms = now_ms
                    await self._probe(number)
            if gauge.works():
                renew_ms = self._patience_ms
            stuck_ms = self._stuck_ms(number, now_ms)
            if min(stuck_ms, now_ms - renewed_ms) >= renew_ms:
                renewed_ms = now_ms
                renew_ms = min(2 * renew_ms, _RENEW_MAX_MS)
                self._counters.add("link_%s_renewed" % link.name)
                await link.renew()

    def _stuck_ms(self, number, now_ms):
        """Return for how long a link has been what only a new beginning helps, 0 if it is not."""
        gauge = self._route.gauges[number]
        if self._faults[number] == NO_ADDRESS:
            return now_ms - self._fault_ms[number]
        if gauge.grade == DEAF and self.links[number].renew_when_deaf:
            return now_ms - gauge.since_ms
        return 0

    def _every_ms(self, number):
        # A link in reserve may cost money for every byte.
        return self._probe_ms if number == self.current else self.links[number].probe_ms

    async def _probe(self, number):
        link, gauge = self.links[number], self._route.gauges[number]
        if self.prober is None:
            return
        try:
            trip_ms = await self.prober.ask(link.interface)
        except OSError:
            trip_ms = None  # no route: it went down this moment
        if self._captive[number]:
            trip_ms = None  # whoever took the connection was no site
        gauge.take(LOST if trip_ms is None else trip_ms, self._clock.mono_ms())

    async def _is_captive(self, link, beat):
        from bridge.uplink.captive import is_captive

        for host in self._hosts:
            beat()
            try:
                address = await self.address_of(host, link.interface)
            except OSError:
                continue
            if await is_captive(address, self._hosts, link.interface):
                return True
        return False

    def _fault_of_what_is_up(self, number):
        if self._captive[number]:
            return CAPTIVE_PORTAL
        is_gone = self._resolver is not None and self._resolver.gone
        return DNS_GONE if is_gone and number == self.current else ""

    def _note(self, number, fault, now_ms):
        """Keep what is wrong with a link; what lasts is counted and said once."""
        if fault != self._faults[number] or not fault:
            self._faults[number] = fault
            self._fault_ms[number] = now_ms
        if not fault:
            self._said[number] = ""
        elif (
            fault not in (STARTING, _RESTING, self._said[number])
            and now_ms - self._fault_ms[number] >= _FAULT_MS
        ):
            self._said[number] = fault
            name = self.links[number].name
            self._counters.add("link_%s_%s" % (name, fault))
            self._say(records.LINK_FAULT, "%s: %s" % (name, fault))
