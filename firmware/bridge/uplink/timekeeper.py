"""Asks sites and SNTP servers for the time, soon after the start and then rarely.

A site's answer is authenticated and bound to the question; SNTP's are not, and count only as far
as a majority of them agrees and no site contradicts (core/consensus.py, core/belief.py).
"""

import asyncio
import os

from micropython import const

from bridge.core import timewire
from bridge.core.belief import ABSURD, REFUSED, SET, SNTP, STEPPED
from bridge.core.errors import FormatError, TagError
from bridge.core.journal.layout import CLOCK_SITE, CLOCK_UNKNOWN
from bridge.core.pace import Pace
from bridge.uplink.datagram import exchange

_ANSWER_MS = const(1000)
_POLL_MS = const(250)
_PROVISIONAL_MS = const(300000)  # between two rounds while only SNTP has answered
_STEADY_MS = const(3600000)
_SNTP_FIRST_MS = const(16000)  # RFC 4330, 10: never more often than every 15 s, and ever less
_SNTP_MAX_MS = const(1024000)
_SAY_AGAIN_MS = const(3600000)  # what is refused is said once in so long, and counted always
_OUTVOTED = const(3)  # with so many servers, one alone is not believed


class SiteTime:
    """One site's time port.

    number, name, id, key  as in forward.Site
    address                (host, port)
    """

    def __init__(self, number, name, address, id, key, keeper):
        self.number = number
        self.name = name
        self._address = address
        self._id = id
        self._key = key
        self._keeper = keeper

    async def ask(self, interface=None):
        """Ask for the time through a link; returns the round trip in ms, None without an answer.

        Raises nothing: this also measures a link's round trip and loss.
        """
        keeper = self._keeper
        identity, counters = keeper.identity, keeper.counters
        nonce = os.urandom(timewire.NONCE_SIZE)
        answer = None

        def accept(payload):
            nonlocal answer
            try:
                found = timewire.parse_answer(payload, self._key, identity.gateway)
            except TagError:
                counters.add("time_forged")
                return False
            except FormatError:
                counters.add("time_malformed")
                return False
            if found.nonce != nonce or found.site != self._id:
                counters.add("time_stale")
                return False
            answer = found
            return True

        question = timewire.pack_question(identity.uplink_key, identity.gateway, nonce)
        trip_ms = await keeper.exchange(self._address, question, accept, interface)
        if trip_ms is None:
            return None
        if answer.sync == timewire.SYNC_LOST:
            counters.add("site_clock_not_synchronised")
        keeper.site_said(self.number, self.name, answer.utc_ms, trip_ms)
        return trip_ms


class Server:
    """One SNTP server: whether it refuses us, and until when it wants to be left alone."""

    def __init__(self, address):
        self.address = address
        self.refuses = False
        self.alone_until_ms = 0


class Timekeeper:
    """Keeps the clock right.

    servers  addresses of SNTP servers, (host, port) each
    gateway  has identity, clock, counters and links, and is told what happens:
             notice_time(text) hears that the clock was set; the text may be None,
             notice_time_refused(text) that an answer was not believed
    """

    def __init__(self, servers, gateway):
        self.identity = gateway.identity
        self.counters = gateway.counters
        self.sites = []
        self._servers = [Server(address) for address in servers]
        self._gateway = gateway
        self._clock = gateway.clock
        self._links = gateway.links
        self._pace = Pace()
        self._servers_due_ms = 0
        self._servers_wait_ms = _SNTP_FIRST_MS
        self._said_ms = {}

    def add_site(self, number, name, address, id, key):
        """Ask a site from now on; returns its SiteTime."""
        site = SiteTime(number, name, address, id, key, self)
        self.sites.append(site)
        return site

    async def run(self, beat):
        """Ask whenever it is due and the link is up; for ever."""
        due_ms = 0
        while True:
            beat()
            if not self._links.is_up():
                self._pace.restart()
                self._servers_wait_ms = _SNTP_FIRST_MS
                if self._clock.state != CLOCK_SITE:
                    due_ms = 0
            elif self._clock.mono_ms() >= due_ms:
                await self._round(beat)
                due_ms = self._clock.mono_ms() + self._pause_ms()
            await asyncio.sleep_ms(_POLL_MS)

    def _pause_ms(self):
        random = os.urandom(1)[0]
        if self._clock.state == CLOCK_UNKNOWN:
            now_ms = self._clock.mono_ms()
            self._pace.ended(now_ms, now_ms, 0, False, random)
            return self._pace.early_ms(now_ms)
        pause_ms = _STEADY_MS if self._clock.state == CLOCK_SITE else _PROVISIONAL_MS
        # Gateways that started together do not ask together for ever.
        return pause_ms * 3 // 4 + pause_ms // 2 * random // 255

    async def _round(self, beat):
        servers = self._servers
        if self._clock.mono_ms() < self._servers_due_ms:
            servers = ()
        # Through the link that carries, and through the others where that brings no answer.
        for interface in self._links.interfaces():
            heard = False
            for site in self.sites:
                beat()
                if await site.ask(interface) is not None:
                    heard = True
            if servers and await self._ask_servers(servers, interface, beat):
                heard = True
            if heard:
                break
        if servers:
            self._servers_due_ms = self._clock.mono_ms() + self._servers_wait_ms
            self._servers_wait_ms = min(2 * self._servers_wait_ms, _SNTP_MAX_MS)

    # --- asking ---

    async def exchange(self, address, question, accept, interface):
        """Return the round trip of an accepted answer in ms, None without one."""
        try:
            address = (await self._links.address_of(address[0], interface), address[1])
            found = await exchange(address, question, accept, _ANSWER_MS, interface)
        except OSError as error:
            self.counters.add("time_unsent")
            self.counters.note("time: %s: %s" % (address[0], error))
            return None
        if found is None:
            self.counters.add("time_unanswered")
            return None
        return found[1]

    async def _ask_servers(self, servers, interface, beat):
        from bridge.core.consensus import agree

        answers = []
        for server in servers:
            beat()
            if not server.refuses and self._clock.mono_ms() >= server.alone_until_ms:
                answer = await self._ask_server(server, interface)
                if answer is not None:
                    answers.append(answer)
        if not answers:
            return False
        agreed = agree(answers, 2 if len(servers) >= _OUTVOTED else 1)
        if agreed is None:
            text = "%d SNTP servers answer, no majority agrees" % len(answers)
            self._refuse("sntp_disagree", text)
            return False
        offset_ms, error_ms, refused = agreed
        if refused:
            text = "%d of %d SNTP servers are wrong" % (len(refused), len(answers))
            self._refuse("sntp_outlier", text, len(refused))
        self._judge(offset_ms, error_ms, SNTP, "SNTP")
        return True

    async def _ask_server(self, server, interface):
        from bridge.core import sntp

        nonce = os.urandom(sntp.NONCE_SIZE)
        reply = None

        def accept(payload):
            nonlocal reply
            try:
                reply = sntp.parse(payload, nonce)
            except sntp.Kiss as kiss:
                self._leave_alone(server, kiss.code)
                return True
            except FormatError as error:
                self.counters.add("sntp_malformed")
                self.counters.note(str(error))
                return False
            return True

        trip_ms = await self.exchange(server.address, sntp.request(nonce), accept, interface)
        if trip_ms is None or reply is None:
            return None
        heard_ms = self._clock.mono_ms()
        try:
            return reply.judge(heard_ms - trip_ms, heard_ms)
        except FormatError as error:
            self.counters.add("sntp_malformed")
            self.counters.note(str(error))
            return None

    def _leave_alone(self, server, code):
        self.counters.add("sntp_kiss")
        self.counters.note("SNTP %s: %s" % (server.address[0], code))
        if code in ("DENY", "RSTR"):
            server.refuses = True
        else:
            server.alone_until_ms = self._clock.mono_ms() + _STEADY_MS

    # --- what was answered ---

    def site_said(self, number, name, utc_ms, trip_ms):
        """Take the time of a site, authenticated, that was asked `trip_ms` ago and heard now."""
        # It wrote its time somewhere on the way: in the middle, give or take half the trip.
        offset_ms = utc_ms + trip_ms // 2 - self._clock.mono_ms()
        self._judge(offset_ms, trip_ms // 2 + 1, number, "site " + name)

    def _judge(self, offset_ms, error_ms, source, name):
        clock = self._clock
        before, was_ms = clock.state, clock.utc_ms()
        verdict = clock.take(offset_ms, error_ms, source)
        if verdict == STEPPED:
            self.counters.add("clock_stepped")
            moved_ms = clock.utc_ms() - was_ms
            self._gateway.notice_time("stepped by %d ms, by %s" % (moved_ms, name))
        elif verdict == SET:
            text = "set by %s, to %d ms" % (name, error_ms) if clock.state != before else None
            self._gateway.notice_time(text)
        elif verdict == REFUSED:
            text = "%s is behind the last time in the log" % name
            if was_ms:
                text = "%s is off by %d ms" % (name, offset_ms + clock.mono_ms() - was_ms)
            self._refuse("sntp_refused" if source == SNTP else "site_time_refused", text)
        elif verdict == ABSURD:
            self._refuse("time_absurd", "%s tells an impossible date" % name)

    def _refuse(self, counter, text, count=1):
        self.counters.add(counter, count)
        now_ms = self._clock.mono_ms()
        if now_ms - self._said_ms.get(counter, -_SAY_AGAIN_MS) >= _SAY_AGAIN_MS:
            self._said_ms[counter] = now_ms
            self._gateway.notice_time_refused(text)
