"""LoRa as the link of last resort: alarms and last values of class A when no site receipts.

What goes is decided in core/radio_choice.py, and whether it may in core/duty.py.
"""

import asyncio
import os

from micropython import const

from bridge.core.airtime import make_plan
from bridge.core.duty import KeptBudget
from bridge.core.errors import ConfigError, KeyLost, MediumError, TagError
from bridge.core.journal import records
from bridge.core.last_values import LastValues
from bridge.core.radio_choice import choose
from bridge.core.radio_wire import (
    ANSWER_SIZE,
    COUNTER_MAX,
    HEAD,
    TAG,
    check_answer,
    is_answer,
    names_check,
    parse_frame,
    radio_key,
    seal_frame,
)
from bridge.uplink.lora_chip import Chip

SILENT_MS = const(12000)  # this job may be silent so long: a frame, and the chip's start

_IDLE_MS = const(200)
_LISTEN_MS = const(250)
_ANSWER_MS = const(3000)  # for the site's commit, besides the answer's own airtime
_TRIES = const(3)  # in a row
_PERIOD_MS = const(120000)  # a site that hears us by IP for a moment takes the next one again
_LATER_MS = const(10000)  # than now, where log or chip fail
_SPREAD_MS = const(1500)  # a ward that loses its network must not speak all at once
_ALARM_SHARE = const(5)  # a fifth of the budget is for alarms alone
_AIRTIME = "airtime"  # file with what was used of the law's measure
_TEXT_IDS = const(12)  # parameters that an event names


class Radio:
    """Speaks when no site has receipted for `grace_ms`, and stops when one does.

    gateway  has identity, journal, recorder, clock, counters, forwarders
    cipher   as journal.seal has it
    last     LastValues, which the recorder fills
    """

    def __init__(self, plan, chip, gateway, cipher, grace_ms):
        self.last = LastValues()
        self._plan = plan
        self._chip = chip
        self._cipher = cipher
        self._grace_ms = grace_ms
        self._gateway = gateway
        self._identity = gateway.identity
        self._clock = gateway.clock
        self._counters = gateway.counters
        self._budget = KeptBudget(plan, _load_airtime, _save_airtime, self._clock.mono_ms())
        self._key = radio_key(self._identity.uplink_key, self._identity.log_id)
        self._names = names_check(gateway.recorder.names)
        self._on = False
        self._alone_ms = self._clock.mono_ms()  # since when no site has receipted
        self._place = (-1, 0)
        self._salt = 0
        self._counter = 0
        self._period_ms = 0  # when it began
        self._since_ms = 0  # since when we speak
        self._due_ms = 0  # when values may go next, and when alarms may
        self._alarms_due_ms = 0
        self._tries = 0
        self._used_us = 0  # since values went last
        self._said = None
        self._lost = 0
        self._unsaved = 0
        self._checked = False

    async def run(self, beat):
        """Watch the sites and speak when they are gone; for ever."""
        self._check()
        try:
            while True:
                beat()
                now_ms = self._clock.mono_ms()
                spoke = False
                if self._has_site():
                    self._alone_ms = now_ms
                    self._rest()
                elif self._on or self._begin(now_ms):
                    spoke = await self._turn(beat)
                if not spoke:
                    await asyncio.sleep_ms(_IDLE_MS)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._chip.forget()
            self._postpone(self._clock.mono_ms())
            raise

    def _check(self):
        """Say at boot that a chip is missing: not only on the day it is needed."""
        if not self._checked:
            self._checked = True
            if not self._chip.is_there():
                self._counters.add("radio_broken")
                self._say("broken: no chip answers, check its wiring")

    def _postpone(self, now_ms):
        self._due_ms = self._alarms_due_ms = now_ms + _LATER_MS

    def _driver(self):
        """Return the chip's driver, None where chip, driver or memory for it are missing."""
        try:
            return self._chip.driver()
        except (RuntimeError, OSError, ImportError, MemoryError) as error:
            self._counters.add("radio_broken")
            self._counters.note("radio: %s: %s" % (type(error).__name__, error))
            return None

    def _has_site(self):
        for forwarder in self._gateway.forwarders:
            if forwarder.up:
                return True
        return False

    def _say(self, text):
        self._gateway.recorder.say(0, records.RADIO, text)

    # --- a period on the radio ---

    def _begin(self, now_ms):
        """Switch on when no site has receipted for long enough; returns whether it is on."""
        if now_ms - self._alone_ms < self._grace_ms:
            return False
        plan = self._plan
        text = "on: %s, %d kHz, SF%d" % (plan.region, plan.khz, plan.sf)
        if not self._take_place(records.RADIO, text, now_ms):
            self._alone_ms = now_ms  # later again
            return False
        self.last.begin()
        self._since_ms = now_ms
        self._due_ms = self._alarms_due_ms = now_ms + self._random_ms(_SPREAD_MS)
        self._tries = 0
        self._said = None
        self._on = True
        return True

    def _take_place(self, event, text, now_ms):
        """Commit a record to class A's log: its place makes the frames that follow unique."""
        journal = self._gateway.journal
        self._gateway.recorder.say(0, event, text)
        try:
            journal.commit(0)
        except (KeyLost, MediumError):
            pass  # the place says it
        place = journal.newest(0)
        if place <= self._place or place[0] < 0:
            self._counters.add("radio_no_place")
            return False
        self._place = place
        self._salt = int.from_bytes(os.urandom(2), "little")
        self._counter = 0
        self._period_ms = now_ms
        return True

    def _rest(self):
        if self._on:
            self._on = False
            self._chip.sleep()
            self._say("off: a site receipts")
        self.last.settle()

    @staticmethod
    def _random_ms(span_ms):
        return int.from_bytes(os.urandom(2), "little") * span_ms >> 16

    async def _turn(self, beat):
        """Send what is due; returns False when nothing is."""
        now_ms = self._clock.mono_ms()
        with_values = now_ms >= self._due_ms
        with_alarms = now_ms >= self._alarms_due_ms and bool(self.last.untold())
        if not with_alarms and not (with_values and self.last.has_news()):
            return False
        room = self._plan.frame_max - HEAD - TAG
        choice = choose(self.last, self._names, room, now_ms, self._since_ms, with_values)
        if choice is None:
            return False
        driver = self._driver() if self._has_place(now_ms) else None
        if driver is None:
            self._postpone(now_ms)
            return False
        airtime_us = self._plan.frame_us(HEAD + len(choice.body) + TAG)
        kept_us = 0 if with_alarms else self._plan.airtime_ms * 1000 // _ALARM_SHARE
        wait_ms = self._budget.wait_ms(airtime_us + kept_us, now_ms)
        if wait_ms or not self._budget.spend(airtime_us, now_ms):
            self._refuse(choice, wait_ms, now_ms)
            return False
        self._tell(choice)
        await self._exchange(driver, choice, airtime_us, beat)
        return True

    def _has_place(self, now_ms):
        if now_ms - self._period_ms < _PERIOD_MS and self._counter <= COUNTER_MAX:
            return True
        text = "goes on; %d frames in this period" % self._counter
        return self._take_place(records.RADIO_CHOICE, text, now_ms)

    def _refuse(self, choice, wait_ms, now_ms):
        self._counters.add("radio_refused")
        text = "refused by duty cycle: %d alarms, %d values wait %d s"
        self._say(text % (len(choice.alarms), len(choice.values), wait_ms // 1000 + 1))
        self._due_ms = now_ms + wait_ms
        if choice.alarms:
            self._alarms_due_ms = now_ms + wait_ms

    def _tell(self, choice):
        """Count what goes, and say in the log which values, when they are not the last ones."""
        for name, count in (
            ("radio_alarms", len(choice.alarms)),
            ("radio_values", len(choice.values)),
            ("radio_left_out", choice.alarms_left + choice.values_left),
            ("radio_no_room", self.last.lost - self._lost),
            ("radio_unsaved", self._budget.unsaved - self._unsaved),
        ):
            if count:
                self._counters.add(name, count)
        self._lost, self._unsaved = self.last.lost, self._budget.unsaved
        chosen = sorted(self.last.parameters[place] for place, _ in choice.values)
        said = (len(choice.alarms), choice.alarms_left, choice.values_left, chosen)
        if said == self._said:
            return
        self._said = said
        recorder = self._gateway.recorder
        ids = " ".join([str(parameter) for parameter in chosen[:_TEXT_IDS]])
        more = " ..." if len(chosen) > _TEXT_IDS else ""
        text = "chose %d alarms, left %d; %d values, left %d: %s%s"
        counts = (len(choice.alarms), choice.alarms_left, len(chosen), choice.values_left)
        recorder.say(0, records.RADIO_CHOICE, text % (counts + (ids, more)))

    async def _exchange(self, driver, choice, airtime_us, beat):
        """Send one frame and wait for its answer; then say when the next may go."""
        data = seal_frame(
            self._cipher,
            self._key,
            self._identity.gateway,
            self._place,
            self._salt,
            self._counter,
            choice.body,
        )
        self._counter += 1
        self._used_us += airtime_us
        self._counters.add("radio_airtime_ms", airtime_us // 1000 + 1)
        beat()
        sent = await driver.asyncio_send(data, keep_listening=True)
        beat()
        answered = False
        if sent:
            self._counters.add("radio_frames")
            answered = await self._answered(driver, parse_frame(data), beat)
        else:
            self._counters.add("radio_stuck")
            self._chip.forget()
        if answered:
            self._counters.add("radio_answered")
            choice.answered(self.last)
        self._pace(choice, answered, airtime_us)

    def _pace(self, choice, answered, airtime_us):
        now_ms = self._clock.mono_ms()
        self._tries = 0 if answered else self._tries + 1
        if not answered and self._tries < _TRIES:
            # Whoever spoke at the same time must not do so again.
            span_ms = (airtime_us // 1000 + 500) << self._tries
            pause_ms = span_ms // 4 + self._random_ms(span_ms)
            self._alarms_due_ms = now_ms + pause_ms
            if choice.values:
                self._due_ms = now_ms + pause_ms
            return
        self._tries = 0
        # As fast as the budget, without the alarms' share, can go on for ever.
        share_ms = self._plan.airtime_ms - self._plan.airtime_ms // _ALARM_SHARE
        pause_ms = self._used_us * self._plan.window_ms // share_ms // 1000
        if choice.values:
            self._used_us = 0
            self._due_ms = now_ms + pause_ms
        if not answered:
            self._alarms_due_ms = now_ms + pause_ms

    async def _answered(self, driver, frame, beat):
        """Say whether a site answered the frame in time."""
        identity = self._identity
        keys = [key for _, key in identity.sites]
        until_ms = self._clock.mono_ms() + _ANSWER_MS + self._plan.frame_us(ANSWER_SIZE) // 1000
        while self._clock.mono_ms() < until_ms:
            beat()
            data = await driver.asyncio_receive(timeout=_LISTEN_MS / 1000)
            if data is None or not is_answer(data, identity.gateway):
                continue  # nothing, damaged, or another's
            try:
                check_answer(data, keys, identity.gateway, frame)
            except TagError:
                self._counters.add("radio_forged")
                continue
            driver.sleep()
            return True
        driver.sleep()
        return False


def _load_airtime():
    try:
        with open(_AIRTIME) as file:
            return file.read()
    except OSError:
        return None  # the first boot with a radio


def _save_airtime(text):
    # Whole or not at all: half a number would be a smaller one.
    with open(_AIRTIME + ".new", "w") as file:
        file.write(text)
    os.rename(_AIRTIME + ".new", _AIRTIME)


def open_radio(wiring, settings, gateway, cipher, grace_ms):
    """Return the Radio of a board that has one, and have the recorder fill its last values.

    wiring    the board's wiring module
    settings  the configuration's "radio"
    Raises    ConfigError
    """
    pins = getattr(wiring, "RADIO", None)
    if pins is None:
        raise ConfigError("radio: this board's wiring has no RADIO")
    plan = make_plan(settings)
    radio = Radio(plan, Chip(pins, plan), gateway, cipher, grace_ms)
    gateway.recorder.last = radio.last
    return radio
