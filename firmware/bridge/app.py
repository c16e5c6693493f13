"""One gateway: builds every part, then runs a table of named jobs under one supervisor."""

import asyncio
import os
import sys
from binascii import hexlify

import machine
from cryptolib import aes
from micropython import const

from bridge.core.copies import Copies
from bridge.core.errors import MediumError
from bridge.core.journal import records
from bridge.core.journal.keyring import KeyRing
from bridge.core.journal.layout import CLASSES
from bridge.core.journal.ring import Journal
from bridge.core.policy import SESSIONS_MAX, Policy
from bridge.core.recorder import Recorder
from bridge.core.rings import check_rings
from bridge.forget import forget
from bridge.health import trial
from bridge.health.clock import Clock
from bridge.health.console import Console
from bridge.health.counters import Counters
from bridge.health.report import Report
from bridge.health.watchdog import Watchdog
from bridge.release import RELEASED, VERSION
from bridge.storage.medium import open_medium
from bridge.uplink.timekeeper import Timekeeper
from bridge.uplink.tls_room import TlsRoom

_ECB = const(1)
_COMMIT_POLL_MS = const(20)
_SETTLE_MS = const(10)
_SETTLE_TURNS = const(50)
_FRESH_MS = const(50)
_IDLE_MS = const(200)
_WATCH_MS = const(1000)
_RESTART_PAUSE_MS = const(500)
_WATCHDOG_MS = const(8000)
_BEAT_MS = const(6000)  # no task may be silent for longer
_LINK_BEAT_MS = const(20000)  # name servers and portals may be silent, one after the other


def _cipher(key):
    return aes(key, _ECB)


def _reset_cause():
    causes = (
        ("PWRON_RESET", "power-on"),
        ("HARD_RESET", "hard"),
        ("WDT_RESET", "watchdog"),
        ("DEEPSLEEP_RESET", "deep sleep"),
        ("SOFT_RESET", "soft"),
    )
    cause = machine.reset_cause()
    for name, text in causes:
        if getattr(machine, name, None) == cause:
            return text
    return "unknown (%s)" % cause


class App:
    """One gateway on one board.

    config    a Config
    wiring    the board's wiring module: plain values
    on_trial  whether the configuration is a new one that must prove itself
    loader    the module that chose this firmware, None where there is no other to choose
    """

    def __init__(self, config, wiring, on_trial=False, loader=None):
        self.config = config
        self.wiring = wiring
        self.on_trial = on_trial
        self.loader = loader
        self.firmware_said = ""
        self._update = None  # a new firmware, while one comes or is on trial
        self.reset_cause = _reset_cause()
        from bridge import parts  # for the time of this alone

        sessions = min(sum(site["tls"] for site in config.sites), SESSIONS_MAX)
        check_rings(wiring, config.lines, sessions)
        # First of all what takes large pieces of memory: no hole may be large enough later.
        self.tls_room = TlsRoom(getattr(wiring, "TLS_ROOM", 0), sessions)
        ports = [parts.open_port(line, wiring) for line in config.lines]
        self.counters = Counters()
        self.clock = Clock(int.from_bytes(os.urandom(4), "little"), RELEASED)
        keys = KeyRing(open_medium(wiring.KEYS))
        torn = keys.recover()
        if torn:
            self.counters.add("torn_keys", torn)
        self.identity = keys.identity
        devices = []
        extras = {extra["id"]: (extra["label"], extra["unit"]) for extra in config.parameters}
        for line in config.lines:
            for device in line["devices"]:
                devices.append(records.Device(device["name"], line["protocol"], device["unit"]))
        self.journal = Journal(
            open_medium(wiring.JOURNAL), keys, _cipher, os.urandom, self.clock, devices, extras
        )
        self.recorder = Recorder(
            self.journal, self.clock, self.counters, config.lines, config.device_silent_ms
        )
        self.watchdog = Watchdog(self.clock, machine.WDT(timeout=_WATCHDOG_MS).feed)
        names = [site["name"] for site in config.sites]
        self.policy = Policy(names, config.failback_ms, config.site_grace_ms)
        self.credentials = None
        if any(site["tls"] for site in config.sites):
            from bridge.uplink.credentials import Credentials

            self.credentials = Credentials()
        self.stall_ms_max = 0  # the longest that no task had a turn, since boot
        self.report = Report(self)
        self.probe = None  # the last one, or the one under way
        button = getattr(wiring, "CONSOLE_BUTTON", None)
        self.console = Console(self, config.console, config.console_open_min, button)
        self.lines = [
            parts.open_line(number, line, ports[number], wiring, self)
            for number, line in enumerate(config.lines)
        ]
        self.links = parts.open_links(wiring, self)
        self.timekeeper = Timekeeper(config.ntp, self)
        self.forwarders = [
            parts.open_site(number, site, self) for number, site in enumerate(config.sites)
        ]
        parts.measure(self)
        self.copies = Copies(self.journal, [forwarder.sender for forwarder in self.forwarders])
        self._assign()
        # name, job, how long it may be silent
        self.jobs = [
            ("commit", self._commit, _BEAT_MS),
            ("idle", self._idle, _BEAT_MS),
            ("watch", self._watch, _BEAT_MS),
            ("links", self.links.run, _BEAT_MS),
            ("time", self.timekeeper.run, _BEAT_MS),
            ("console", self.console.run, _BEAT_MS),
        ]
        for name, job in self.links.jobs():
            self.jobs.append((name, job, _LINK_BEAT_MS))
        for line in self.lines:
            self.jobs.append(("line%d" % line.number, line.run, _BEAT_MS))
        for forwarder in self.forwarders:
            # It may wait for a silent peer that long, and then close.
            name = "site_" + forwarder.site.name
            self.jobs.append((name, forwarder.run, 2 * config.peer_silent_ms + _BEAT_MS))
        if config.radio is not None:
            from bridge.uplink import radio

            opened = radio.open_radio(wiring, config.radio, self, _cipher, config.radio_grace_ms)
            self.jobs.append(("radio", opened.run, radio.SILENT_MS))
        # What was built holds all it needs: the rest of the file goes, some 4 KB.
        config.lines = config.sites = config.parameters = None
        forget("parts")

    # --- running ---

    async def run(self):
        """Recover the log, then run every job for ever."""
        self.journal.recover(self.clock.latest_ms)
        self.clock.start(self.journal.pool.utc_ms, self.journal.pool.site_utc_ms)
        boot = "reset %s; firmware %s; %s" % (self.reset_cause, VERSION, sys.version)
        for cls in range(len(CLASSES)):
            self.recorder.say(cls, records.BOOT, boot)
            if self.journal.pool.set_aside:
                text = "%d unreadable sectors" % self.journal.pool.set_aside
                self.recorder.say(cls, records.SET_ASIDE, text)
            self.journal.commit(cls)
        if self.loader:
            self._look_for_firmware()
        tasks = []
        for name, job, silent_ms in self.jobs:
            self.watchdog.expect(name, silent_ms)
            tasks.append(asyncio.create_task(self.supervise(name, job)))
        print("gateway %s: listening; %s" % (hexlify(self.identity.gateway).decode(), boot))
        await asyncio.gather(*tasks)

    def end(self):
        """Leave the devices in order; for a program that is stopped, not for a power cut."""
        for line in self.lines:
            line.end()

    async def supervise(self, name, job):
        """Run a job for ever; what stops it is counted and kept, and it starts again."""
        while True:
            try:
                await job(lambda: self.watchdog.beat(name))
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.counters.add_restart(name, error)
                print("job %s:" % name)
                sys.print_exception(error)
            await asyncio.sleep_ms(_RESTART_PAUSE_MS)

    async def _commit(self, beat):
        limits = (self.config.commit_a_ms, self.config.commit_b_ms, self.config.commit_c_ms)
        due_ms = self.clock.mono_ms()
        while True:
            beat()
            now_ms = self.clock.mono_ms()
            self.stall_ms_max = max(self.stall_ms_max, now_ms - due_ms)
            due_ms = now_ms + _COMMIT_POLL_MS
            for cls in range(len(CLASSES)):
                if self.journal.waiting_ms(cls, now_ms) >= limits[cls]:
                    self.journal.commit(cls)
            for forwarder in self.forwarders:
                if forwarder.sender.news():
                    forwarder.wake()
            await asyncio.sleep_ms(_COMMIT_POLL_MS)

    async def _idle(self, beat):
        while True:
            beat()
            self.copies.step()
            self.journal.idle()
            await asyncio.sleep_ms(_IDLE_MS)

    async def _watch(self, beat):
        worn = 0
        while True:
            beat()
            self.recorder.watch()
            self._choose_home()
            if self.credentials:
                self._watch_certificate()
            if self.on_trial:
                self._judge_trial()
            if self._update:
                self._update.watch()
            if worn != self.journal.worn:
                worn = self.journal.worn
                self.recorder.say(0, records.WORN, "%d programs did not take" % worn)
            late = self.watchdog.feed()
            if late:
                self.counters.add("late_" + late)
            await asyncio.sleep_ms(_WATCH_MS)

    def _look_for_firmware(self):
        """Tell what became of another firmware, and go on with one that came or is on trial."""
        note = self.loader.take_note()
        if note:
            self.notice_firmware(note)
        if self.loader.is_busy():
            self.open_update()

    def _judge_trial(self):
        """Keep a new configuration once a site receipts under it; go back when none does."""
        if any(forwarder.up for forwarder in self.forwarders):
            self.on_trial = False
            trial.keep()
            self.recorder.say(0, records.CONFIGURATION, "kept")
        elif self.clock.mono_ms() > self.config.trial_ms:
            text = "taken back: no receipt for %d s" % (self.config.trial_ms // 1000)
            self.recorder.say(0, records.CONFIGURATION, text)
            self.journal.commit(0)
            trial.go_back()
            machine.reset()

    # --- what the parts tell each other ---

    async def settle(self):
        """Let every serial line take in what came while Python stood still.

        A ring holds one stall, and handshakes with two sites may be under way: between their
        steps each line comes to the end of its ring, or half a second passes.
        """
        # Turns, not time: of a stall that falls into this very wait nobody has caught up.
        for _ in range(_SETTLE_TURNS):
            fresh_ms = self.clock.mono_ms() - _FRESH_MS
            if all(line.empty_ms >= fresh_ms or not line.reading for line in self.lines):
                return
            await asyncio.sleep_ms(_SETTLE_MS)

    def open_desk(self, nonce, sender):
        """Return who takes the commands of a session."""
        # Imported here, as most gateways are never told anything.
        from bridge.commands import CommandDesk

        return CommandDesk(self, nonce, sender)

    def open_update(self):
        """Return who takes a new firmware."""
        if self._update is None:
            # Imported here, as most of the time there is none.
            from bridge.update import Update

            self._update = Update(self)
        return self._update

    def changes_firmware(self):
        """Say whether this firmware must still prove itself, or another one is about to."""
        return self._update is not None and (self._update.on_trial or self._update.checks)

    def stored(self, cls, number, copies):
        """A site has a whole sector: give it up on flash once the class's policy allows."""
        self.copies.stored(cls, number, copies)

    def notice_link(self, event, text):
        self.recorder.say(0, event, text)

    def notice_site(self, site, up):
        self.recorder.say(0, records.SITE_UP if up else records.SITE_DOWN, site.name)
        self.policy.notice(site.number, up, self.clock.mono_ms())
        self._choose_home()

    def notice_answer(self):
        """A site has said what it has."""
        self.copies.count()

    def notice_renewal(self, site):
        self.counters.add("store_renewed")
        self.recorder.say(0, records.STORE_RENEWED, site.name)
        self.copies.recount()

    def notice_firmware(self, text):
        self.firmware_said = text
        print("firmware:", text)
        self.recorder.say(0, records.FIRMWARE, text)
        self.journal.commit(0)

    async def answer_console(self, console, line, beat):
        # Imported for each request: most gateways are never asked anything there.
        from bridge.console_desk import answer

        await answer(self, console, line, beat)

    def notice_console(self, text):
        self.recorder.say(0, records.CONSOLE, text)
        self.journal.commit(0)

    def notice_probe(self, text):
        self.recorder.say(0, records.PROBED, text)

    def notice_certificate(self, text):
        self.recorder.say(0, records.CERTIFICATE, text)

    def notice_time(self, text):
        try:
            self.journal.clock_set(self.clock.utc_ms(), self.clock.error_ms())
        except MediumError:
            self.counters.add("medium_errors")
        if text:
            self.recorder.say(0, records.TIME, text)

    def notice_time_refused(self, text):
        self.recorder.say(0, records.TIME, "refused: " + text)

    def _choose_home(self):
        if self.policy.choose(self.clock.mono_ms()):
            self.recorder.say(0, records.SITE_CHOSEN, self.policy.names[self.policy.home])
            self._assign()

    def _assign(self):
        for number, forwarder in enumerate(self.forwarders):
            forwarder.sender.assign(self.policy.classes(number), number > 0)
            forwarder.wake()

    def days_left(self):
        """Return for how many days the certificate is good, None where nobody knows."""
        return self.credentials.days_left(self.clock.utc_ms()) if self.credentials else None

    def _watch_certificate(self):
        text = self.credentials.watch(self.clock.mono_ms(), self.clock.utc_ms())
        if text is not None:
            self.notice_certificate(text)
