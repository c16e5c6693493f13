"""What a gateway does when it is told to. Imported with the first command that comes.

A command is a line in _DO: its name, and a function (desk, fields) that returns the reply's
fields. None of them reaches a device, so none can change a therapy.
"""

import asyncio
import hashlib
import json
import os
from binascii import hexlify, unhexlify

import machine
from micropython import const

from bridge.core import command_wire, mqtt, wire
from bridge.core.config import Config
from bridge.core.errors import FormatError, TagError
from bridge.core.journal import records
from bridge.core.rings import check_rings
from bridge.forget import forget
from bridge.health import trial

_CONFIG_MAX = const(16384)  # bytes of config.new
_PAUSE_MS = const(500)  # for a reply to leave before the board starts anew


class CommandDesk:
    """Takes the commands of one session.

    gateway  has identity, journal, clock, counters, recorder, report, wiring, reset_cause and
             on_trial
    """

    def __init__(self, gateway, nonce, sender):
        self.gateway = gateway
        self.sender = sender
        self._nonce = nonce
        self._number = 0
        self._last = None  # what ends this boot, on its way

    async def take(self, payload, session):
        """Obey one command, if it is one, and answer it in the session."""
        topic = wire.topic(self.gateway.identity.gateway, "reply")

        async def send(part):
            await session.write(mqtt.publish(topic, part, 1, await session.next_id()))

        await self.obey(payload, send)

    async def obey(self, payload, send):
        """Obey one command, if it is one; each part of the answer is awaited: send(part)."""
        gateway, counters = self.gateway, self.gateway.counters
        identity = gateway.identity
        key = identity.command_key
        try:
            command = command_wire.parse_command(payload, key, identity.gateway)
        except TagError:
            counters.add("command_forged")
            return
        except FormatError:
            counters.add("command_malformed")
            return
        if command.nonce != self._nonce or command.number <= self._number:
            counters.add("command_stale")
            return
        self._number = command.number
        counters.add("commands")
        then, fields = self._obey(command.fields)
        for part in command_wire.pack_replies(fields, command, key, identity.gateway):
            await send(part)
        if then is not None:
            self._last = asyncio.create_task(_later(then))

    def _obey(self, fields):
        """Return (what to do once the reply has left, or None, and the reply's fields)."""
        job = _DO.get(fields["do"])
        if job is None:
            return None, {"error": "no such command", "known": sorted(_DO)}
        try:
            return job(self, fields)
        except Exception as error:  # whatever it is, the session and its receipts go on
            return None, {"error": "%s: %s" % (type(error).__name__, error)}

    def say(self, text):
        """Have the log tell of a command that changes something."""
        self.gateway.recorder.say(0, records.COMMAND, text)
        self.gateway.journal.commit(0)


async def _later(job):
    await asyncio.sleep_ms(_PAUSE_MS)
    job()


def _inquire(desk, fields):
    """Do what bridge/inquiry.py knows, which is loaded for this one command."""
    module = __import__("bridge.inquiry", None, None, ("DO",))
    try:
        return module.DO[fields["do"]](desk, fields)
    finally:
        forget("inquiry")


def _restart(desk, fields):
    desk.say("restart")
    return machine.reset, {"restarts": True}


def _put(desk, fields):
    """Take a part of a new configuration: "at" is its offset, "data" its bytes in hex."""
    at, data = fields["at"], unhexlify(fields["data"])
    if at + len(data) > _CONFIG_MAX:
        raise ValueError("more than %d bytes" % _CONFIG_MAX)
    if at == 0:
        with open(trial.NEW, "wb") as file:
            file.write(data)
    elif os.stat(trial.NEW)[6] != at:
        raise ValueError("the part before it is missing")
    else:
        with open(trial.NEW, "ab") as file:
            file.write(data)
    return None, {"size": at + len(data)}


def _configure(desk, fields):
    """Put the new configuration on trial, if it has the "digest" and this board can run it."""
    with open(trial.NEW, "rb") as file:
        data = file.read()
    if hexlify(hashlib.sha256(data).digest()).decode() != fields["digest"]:
        raise ValueError("not the bytes that were meant")
    config = Config(json.loads(data))
    check_rings(desk.gateway.wiring, config.lines)
    if desk.gateway.changes_firmware():
        raise ValueError("another firmware is on trial")
    desk.say("configuration " + fields["digest"][:16])
    trial.switch()
    return machine.reset, {"restarts": True}


def _update(desk, fields):
    """Take a new firmware, step by step (bridge/update.py)."""
    if desk.gateway.loader is None:
        raise ValueError("nothing here loads another firmware")
    return None, desk.gateway.open_update().obey(fields)


_DO = {
    "restart": _restart,
    "put": _put,
    "configure": _configure,
    "firmware": _update,
    "firmware-offer": _update,
    "firmware-part": _update,
    "firmware-take": _update,
    "report": _inquire,
    "configuration": _inquire,
    "log": _inquire,
    "sniff": _inquire,
    "sniffed": _inquire,
    "probe": _inquire,
    "probed": _inquire,
    "open-console": _inquire,
    "close-console": _inquire,
}
