"""What a gateway tells of itself when it is asked, and how others look over its shoulder.

Loaded for one command and given up after it. None of this reaches a device, or stops a line's
reading. Each is a line in DO: (desk, fields) gives what to do once the reply has left, or None,
and the reply's fields.
"""

import asyncio
import gc
import json
import os
import sys
from binascii import b2a_base64, hexlify

import machine
from micropython import const

from bridge.core.journal.layout import SECTOR_SIZE
from bridge.forget import forget
from bridge.health import trial

_LOG_MAX = const(2048)  # bytes of a log in one reply
_TAP_SIZE = const(2048)
_HIDDEN = "(hidden)"
_SECRETS = ("key", "user")  # of a link


def report(gateway, sender):
    """Return everything that a heartbeat says, and what is too long for one."""
    gc.collect()
    now_ms = gateway.clock.mono_ms()
    found = gateway.report.fields(sender, b"", False, now_ms)
    found["gateway"] = hexlify(gateway.identity.gateway).decode()
    found["bed"] = gateway.config.bed
    found["heap"] = {"used": gc.mem_alloc(), "free": gc.mem_free()}
    found["platform"] = sys.platform
    found["reset"] = gateway.reset_cause
    found["unique_id"] = hexlify(machine.unique_id()).decode()
    found["on_trial"] = gateway.on_trial
    found["console"] = gateway.console.state()
    found["files"] = _space()
    found["umqtt"] = _has_umqtt()
    found["devices"] = [_device(gateway.recorder, number, now_ms)
                        for number in range(len(gateway.recorder.names))]  # fmt: skip
    found["sites"] = [_site(forwarder, now_ms) for forwarder in gateway.forwarders]
    return found


def _device(recorder, number, now_ms):
    heard_ms = recorder.heard_ms[number]
    return {
        "name": recorder.names[number],
        "class": "ABC"[recorder.classes[number]],
        "quiet_ms": None if heard_ms < 0 else now_ms - heard_ms,
    }


def _site(forwarder, now_ms):
    site, sender = forwarder.site, forwarder.sender
    return {
        "name": site.name,
        "host": site.host,
        "port": site.port,
        "tls": site.server_name is not None,
        "up": forwarder.up,
        "session": not forwarder.idle,
        "wanted": forwarder.is_wanted(),
        "round_trip_ms": forwarder.trip_ms,
        "overdue_ms": sender.overdue_ms(now_ms),
        "backlog": sum(sender.backlog_bytes(cls) for cls in range(3)),
        "fault": forwarder.fault,
    }


def _space():
    """Return (bytes, free bytes) of the file system, None where it does not say."""
    try:
        row = os.statvfs("/")
        return row[0] * row[2], row[0] * row[3]
    except OSError:
        return None


def _has_umqtt():
    from bridge.uplink import umqtt_probe

    try:
        return umqtt_probe.is_there()
    finally:
        umqtt_probe.forget()


def _report(desk, fields):
    return None, report(desk.gateway, desk.sender)


def _read_config():
    with open(trial.NOW) as file:
        return json.load(file)


def _configuration(desk, fields):
    """config.json without what is secret in it: that never leaves the board."""
    config = _read_config()
    for settings in config.get("links", {}).values():
        if isinstance(settings, dict):
            for name in _SECRETS:
                if name in settings:
                    settings[name] = _HIDDEN
    return None, config


def _log(desk, fields):
    """Bytes of the log as they are on flash, sealed: class number, sector, "at", "count"."""
    cls, at, count = fields["cls"], fields["at"], fields["count"]
    if not 0 < count <= _LOG_MAX or not 0 <= at <= SECTOR_SIZE - count:
        raise ValueError("want 1 to %d bytes of a sector" % _LOG_MAX)
    data = bytearray(count)
    there = desk.gateway.journal.read(cls, fields["sector"], at, memoryview(data))
    return None, {"data": b2a_base64(data).decode().strip() if there else None}


def _line(desk, fields):
    for line in desk.gateway.lines:
        if line.number == fields["line"]:
            return line
    raise ValueError("no line %r" % fields["line"])


def _sniff(desk, fields):
    """Listen in on a line by its number; says what the configuration has on it."""
    from bridge.links.tap import Tap

    line = _line(desk, fields)
    row = _read_config()["lines"][line.number]
    line.tap = Tap(_TAP_SIZE, desk.gateway.clock.mono_ms())
    names = ("uart", "protocol", "options", "baud", "bits", "parity", "stop")
    return None, {name: row[name] for name in names if name in row}


def _sniffed(desk, fields):
    """What the line carried since the last time, None when nobody listens in any more."""
    line = _line(desk, fields)
    if line.tap is None:
        return None, {"data": None, "dropped": 0}
    data, dropped = line.tap.fetch(desk.gateway.clock.mono_ms())
    if fields.get("last"):
        line.tap = None
        forget("links.tap")
    return None, {"data": b2a_base64(data).decode().strip(), "dropped": dropped}


def _probe(desk, fields):
    """Have umqtt.simple publish to a site's broker; `probed` then says what came of it."""
    gateway = desk.gateway
    found = [one for one in gateway.forwarders if one.site.name == fields["site"]]
    if not found:
        raise ValueError("no site %r" % fields["site"])
    if gateway.probe is not None and gateway.probe["stage"] != "over":
        raise ValueError("one is under way")
    from bridge.uplink.umqtt_probe import Probe

    made = Probe(gateway, found[0])
    gateway.probe = made.found
    return lambda: asyncio.create_task(made.run()), {"begun": True}


def _probed(desk, fields):
    """The last probe, None when there was none; its stage is "over" once it is."""
    return None, {"probe": desk.gateway.probe}


def _open_console(desk, fields):
    minutes = fields["minutes"]
    if not isinstance(minutes, int) or not 1 <= minutes <= 120:
        raise ValueError("minutes: want 1 to 120")
    desk.gateway.console.open(minutes, "a command")
    return None, {"open_s": desk.gateway.console.state()}


def _close_console(desk, fields):
    desk.gateway.console.close("by a command")
    return None, {"console": "closed"}


DO = {
    "report": _report,
    "configuration": _configuration,
    "log": _log,
    "sniff": _sniff,
    "sniffed": _sniffed,
    "probe": _probe,
    "probed": _probed,
    "open-console": _open_console,
    "close-console": _close_console,
}
