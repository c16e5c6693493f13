"""The whole firmware on 32 bits: what its code and its data take, and whether they grow.

This build collects garbage only between two calls from JavaScript. So the work is a generator, and
each `yield` is a collection: what `gc.mem_alloc` says right behind it is what is alive.
"""

import gc
import json
import sys

import micropython

from hil.bench.on_micropython.whole import lines, streams, world

import asyncio  # isort: skip  its own clock is replaced by `streams`

_SECOND_MS = 1000
_HOUR_MS = 3600000


class Phases:
    """A generator as what the runner expects: a list of functions, each called once."""

    def __init__(self, work):
        self._work = work
        self._ended = False

    def __len__(self):
        return 0 if self._ended else 1

    def pop(self, index):
        return self._step

    def _step(self):
        try:
            next(self._work)
        except StopIteration:
            self._ended = True
        gc.collect()


class Meter:
    """What turns of the loop allocated, and what was alive between them."""

    def __init__(self):
        self.allocated = self.live_max = self.above_max = 0

    def turned(self, live, allocated):
        self.allocated += allocated
        self.live_max = max(self.live_max, live)
        self.above_max = max(self.above_max, live + allocated)


meter = Meter()
found = {}
task = None


def live(duration_ms, keep=0):
    """Run the gateway; collects whenever it has allocated more than `keep` bytes."""
    until_ms = world.now_ms + duration_ms
    base = gc.mem_alloc()
    while world.now_ms < until_ms:
        wait_ms = streams.next_ms()
        world.now_ms = min(until_ms, world.now_ms + wait_ms)
        before = gc.mem_alloc()
        streams.turn()
        after = gc.mem_alloc()
        meter.turned(before, after - before)
        if after - base > keep:
            yield
            base = gc.mem_alloc()


def load_rig():
    for number, line in enumerate(world.order["lines"]):
        lines.plug_in(number, line)
    from hil.bench.on_micropython.whole.site import Site

    return [Site(site) for site in world.order["sites"]]


def build():
    from bridge.app import App
    from bridge.core.config import Config
    from hil.bench.on_micropython.whole import wiring

    config = Config(world.order["config"])
    world.order["config"] = None
    return App(config, wiring)


def begin(app):
    """Switch the gateway on."""
    global task
    task = asyncio.create_task(app.run())


def modules():
    """Say which of the firmware's modules this ward needs, lazily imported ones included."""
    load_rig()
    app = build()
    begin(app)
    yield
    yield from live(8 * _SECOND_MS, 1 << 16)
    found["modules"] = sorted(name for name in sys.modules if name.split(".")[0] == "bridge")


def size():
    """Measure code, then data, then what each part of the gateway holds."""
    yield
    start = gc.mem_alloc()
    found["modules"] = {}
    for name in world.order["modules"]:
        before = gc.mem_alloc()
        __import__(name)
        yield
        found["modules"][name] = gc.mem_alloc() - before
    found["code"] = gc.mem_alloc() - start
    sites = load_rig()
    yield
    empty = gc.mem_alloc()
    app = build()
    yield
    found["built"] = gc.mem_alloc() - empty
    begin(app)
    yield from live(5 * _SECOND_MS)
    seconds = world.order["seconds"]
    meter.allocated = meter.above_max = 0  # of the boot a board collects more than once
    yield from live(seconds * _SECOND_MS)
    found["garbage_s"] = meter.allocated // seconds
    found["data"] = meter.live_max - empty
    found["peak"] = meter.above_max - empty
    found["control"] = control()
    yield
    found["sites"] = [
        {"runs": site.store.runs, "statuses": site.statuses, "status_size": site.status_size}
        for site in sites
    ]
    found["counters"] = app.counters.values
    found["said"] = [world.lines[number].said for number in world.lines]
    found["stored"] = [app.journal.newest(cls) for cls in range(3)]
    yield from take_apart(app, sites, empty)


def control():
    """Return what the meter says of 1000 bytes: it must not miss them."""
    before = gc.mem_alloc()
    kept = bytearray(1000)
    return gc.mem_alloc() - before if kept else 0


def take_apart(app, sites, empty):
    """Take the gateway's parts away one after the other and note what each held."""
    global task
    parts = found["parts"] = []

    def drop(title, *places):
        before = gc.mem_alloc()  # of what was let go since the last collection as well
        for thing, name in places:
            setattr(thing, name, None)
        yield
        parts.append((title, before - gc.mem_alloc()))

    # First, as a device's bytes may look like addresses, and keep alive what lies there.
    for line in app.lines:
        yield from drop("UART %d" % line.number, (line, "_uart"))
        yield from drop("driver %d" % line.number, (line, "_decoder"))
    one = app.forwarders
    yield from drop("packet buffers", *[(f, n) for f in one for n in ("_packet", "_view")])
    one = None
    streams.core._task_queue = streams.core.TaskQueue()
    streams.core.cur_task = task = app.jobs = app.copies = None
    world.hosts.clear()
    for site in sites:
        site.far = None
    yield from drop("tasks, sessions, senders", (app, "forwarders"))
    yield from drop("lines", (app, "lines"))
    journal = app.journal
    for log in journal._logs:
        yield from drop("writer %d" % log.cls, (log, "writer"))
        yield from drop("cipher %d" % log.cls, (log, "counter"))
    log = None
    yield from drop("pool", (journal, "pool"))
    yield from drop("flash", (journal, "flash"))
    yield from drop("key ring", (journal, "keys"))
    for recorder in (app.recorder, app.report):
        recorder._journal = None
    journal = recorder = None
    yield from drop("journal", (app, "journal"), (app, "recorder"), (app, "report"))
    yield from drop("configuration", (app, "config"))
    yield from drop("certificates", (app, "credentials"))
    yield from drop("the rest", *[(app, name) for name in list(app.__dict__)])
    found["left"] = gc.mem_alloc() - empty


def day():
    """Days of flapping: what is alive after each hour. mem_info says how large the heap has grown.

    calm_s, flap_s, flaps  seconds at each hour's end and of each flap, flaps an hour; the rest of
                           an hour passes at once
    threshold              bytes allocated between two collections, as gc.threshold
    """
    for name in world.order["modules"]:
        __import__(name)
    sites = load_rig()
    yield
    app = build()
    yield
    begin(app)
    order = world.order
    keep = order["threshold"]
    found["hours"] = []
    yield from live(order["calm_s"] * _SECOND_MS, keep)
    yield
    micropython.mem_info()
    for hour in range(order["hours"]):
        for flap in range(order["flaps"]):
            yield from flapping(sites, hour * order["flaps"] + flap, keep)
            jump(_HOUR_MS // order["flaps"] - order["flap_s"] * _SECOND_MS)
        yield from live(order["calm_s"] * _SECOND_MS, keep)
        yield
        found["hours"].append(gc.mem_alloc())
    found["sessions"] = [site.sessions for site in sites]
    found["runs"] = [site.store.runs for site in sites]
    found["stored"] = [app.journal.newest(cls) for cls in range(3)]
    found["counters"] = app.counters.values
    found["missing"] = app.tls_room.missing
    yield
    micropython.mem_info()


def flapping(sites, number, keep):
    """Let one thing go wrong for a while, another each time; then let it be well again."""
    kind = number % 5
    half_ms = world.order["flap_s"] * _SECOND_MS // 2
    site = sites[number % len(sites)]
    if kind == 0:
        site.cut()
    elif kind == 1:
        world.cable = False
    elif kind == 2:
        site.deaf = True
    elif kind == 3:
        hosts, world.hosts = world.hosts, {}
        for one in sites:
            one.cut()
    else:
        world.lines[number % 3].quiet = True
    yield from live(half_ms, keep)
    if kind == 3:
        world.hosts = hosts
    world.cable, site.deaf, world.lines[number % 3].quiet = True, False, False
    yield from live(half_ms, keep)


def jump(duration_ms):
    world.now_ms += duration_ms


def frozen():
    """Measure what runs at import puts on the heap where the code itself is in flash.

    Here each module's body is a function as well: run once more beside the objects of the first
    time, it makes the same functions, classes and tables anew.
    """
    yield
    found["modules"] = {}
    for name in world.order["modules"]:
        __import__(name)
    yield
    for name in world.order["modules"]:
        module = sys.modules[name]
        if not hasattr(module, "_body"):
            continue
        kept = dict(module.__dict__)
        yield
        before = gc.mem_alloc()
        module._body()
        beside = [Module(), {}]  # the module's own object and its names
        for key in kept:
            beside[1][key] = None
        yield
        found["modules"][name] = gc.mem_alloc() - before
        beside = kept = None


class Module:
    """About as large as the object of a module."""


def finish(work):
    yield from work
    print(json.dumps(found))


streams.install()
phases = Phases(finish(globals()[world.order["job"]]()))
