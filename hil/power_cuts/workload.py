"""What the firmware asks of its log, drawn from a seed. Runs on both interpreters."""

from bridge.core.events import NO_VALUE, VALID, Alarm, Observation, Wave
from bridge.core.journal import layout, records
from hil.power_cuts.gateway import DEVICES, EXTRAS

_GROUPS = 6
_HOUR_MS = 3600000


class Plan:
    """What a seed decides before anything runs.

    sectors, key_blocks, spent  as for Gateway: a small pool, and key slots about to fill a block
    hours                       how often in 32 steps an hour passes, which seals sectors
    receipts                    how often in 32 steps a receipt comes
    """

    def __init__(self, random):
        self.sectors = 8 + random.below(6)
        self.key_blocks = 3 + random.below(2)
        self.spent = (0, 40, 50, 58)[random.below(4)]
        self.hours = (0, 3, 6, 6)[random.below(4)]
        self.receipts = (0, 2, 8)[random.below(3)]


class Workload:
    """Appends to a journal and tells the judge what it handed in and what was acknowledged.

    journal, clock  of this boot
    """

    def __init__(self, plan, random, judge, journal, clock):
        self._plan = plan
        self._random = random
        self._judge = judge
        self._journal = journal
        self._clock = clock
        self._observation = Observation(24)
        self._wave = Wave(64)
        self._alarm = Alarm()

    def run(self, steps):
        for _ in range(steps):
            self._step()
        for cls in range(len(layout.CLASSES)):
            self._clock.now_ms += 10
            self._say(cls)
            self._commit(cls)

    def _step(self):
        below = self._random.below
        self._clock.now_ms += 10 + below(3000)
        draw = below(32)
        if draw < self._plan.hours:
            self._clock.now_ms += _HOUR_MS
        if below(32) < self._plan.receipts:
            self._release(below(len(layout.CLASSES)))
        cls = (0, 0, 0, 0, 1, 2)[below(6)]
        if draw < 22:
            self._observe(cls)
        elif draw < 25:
            self._draw_wave(2)
        elif draw < 27:
            self._raise_alarm(1)
        elif draw < 29:
            self._say(cls)
        elif draw < 30:
            self._set_clock()
        if below(4):
            self._commit(cls)
        for _ in range(below(4)):
            self._journal.idle()

    def _hand(self, cls, kind, *content):
        mono_ms = self._clock.now_ms // records.TICK_MS * records.TICK_MS
        self._judge.handed(cls, (kind, self._clock.boot, mono_ms) + content)

    def _commit(self, cls):
        self._journal.commit(cls)
        self._judge.acknowledged(cls)

    def _observe(self, cls):
        below = self._random.below
        made = self._observation
        group = below(_GROUPS)
        device = group % len(DEVICES)
        made.begin(0, group)
        values = []
        # A device may come to send more than it did: now and then one value is added.
        for index in range(3 + 3 * group + (below(16) == 0)):
            parameter = index + 1 if index else min(EXTRAS)
            state = VALID if below(12) else NO_VALUE
            value = below(65536) - 32768 if below(3) == 0 else 100 * index + below(8)
            made.add(parameter, value if state == VALID else 0, index % 2, state)
            if state == VALID:
                values.append((parameter, value, index % 2))
        self._hand(cls, records.OBSERVATION, DEVICES[device][0], group, tuple(values))
        self._journal.observation(cls, device, made, self._clock.now_ms)

    def _draw_wave(self, cls):
        wave = self._wave
        wave.parameter, wave.decimals, wave.period_us = 30, 1, 10000
        wave.count = 1 + self._random.below(64)
        level = 0
        for index in range(wave.count):
            level += self._random.below(9) - 4
            wave.samples[index] = level
        samples = tuple(wave.samples[index] for index in range(wave.count))
        self._hand(cls, records.WAVE, DEVICES[0][0], wave.parameter, samples)
        self._journal.wave(cls, 0, wave, self._clock.now_ms)

    def _raise_alarm(self, cls):
        alarm = self._alarm
        alarm.page, alarm.code, alarm.priority = 1, self._random.below(65536), 3
        alarm.active, alarm.text = True, "APNEA"
        self._hand(cls, records.ALARM, DEVICES[1][0], alarm.code)
        self._journal.alarm(cls, 1, alarm, self._clock.now_ms)
        self._judge.acknowledged(cls)

    def _say(self, cls):
        text = "x" * self._random.below(40)
        self._hand(cls, records.EVENT, records.SITE_UP, text)
        self._journal.event(cls, records.SITE_UP, text)

    def _set_clock(self):
        utc_ms = 1790000000000 + self._clock.now_ms
        # A class that recovery could not open has the time in its next header.
        classes = [cls for cls in range(len(layout.CLASSES)) if self._journal.newest(cls)[0] >= 0]
        for cls in classes:
            self._hand(cls, records.CLOCK, utc_ms)
        self._journal.clock_set(utc_ms, 50)
        for cls in classes:
            self._judge.acknowledged(cls)

    def _release(self, cls):
        # As receipts come: for the oldest sector that has none yet.
        pool = self._journal.pool
        newest = self._journal.newest(cls)[0]
        for number in range(max(0, pool.oldest(cls)), newest):
            sector = pool.find(cls, number)
            if sector >= 0 and not pool.is_released(sector):
                self._judge.receipted(cls, number)
                self._journal.release(cls, number)
                return


def signature(record):
    """Return what `Workload` handed in for a record that was read, None for a gap's."""
    content = ()
    if record.kind == records.OBSERVATION:
        values = [(v.parameter, v.value, v.decimals) for v in record.values if v.state == VALID]
        content = (record.device.name, record.group, tuple(values))
    elif record.kind == records.WAVE:
        content = (record.device.name, record.parameter, tuple(record.samples))
    elif record.kind == records.ALARM:
        content = (record.device.name, record.code)
    elif record.kind == records.EVENT:
        content = (record.event, record.text)
    elif record.kind == records.CLOCK:
        content = (record.utc_ms,)
    else:
        return None
    return (record.kind, record.boot, record.mono_ms) + content
