"""A new firmware: it comes in parts, is checked, put on trial, and kept or taken back.

Loaded when there is one. The parts are written behind one another into the slot that does not hold
(firmware/loader.py), between turns of what reads the devices. `bundles/offer` says what they are
parts of, so that a lost link or a power cut costs a few of them:

    {"size": bytes, "digest": "<hex>", "older": false, "take": false}

Over USB the whole file and an offer with "take" are put there, and the board starts anew.
"""

import asyncio
import hashlib
import json
import os
import sys
from binascii import a2b_base64, hexlify

import machine
from micropython import const

from bridge.core import bundle, p256
from bridge.core.errors import FormatError
from bridge.release import CONFIG_VERSION, VERSION

_SYNC = const(16384)  # bytes: littlefs copies a block that was begun each time
_PIECE = const(1024)
_SPARE_BLOCKS = const(4)  # of the file system, which must stay free
_WAIT_MS = const(1000)
_PAUSE_MS = const(500)  # for what was said to leave before the board starts anew
_AUTHORITIES = ("tls/now/ca.der", "tls/new/ca.der")


class Update:
    """Takes one firmware after the other.

    gateway  has loader, config, wiring, clock, counters, recorder, forwarders, on_trial, and
             notice_firmware(text), which keeps it in firmware_said
    """

    def __init__(self, gateway):
        self._gateway = gateway
        self._loader = gateway.loader
        self._state = gateway.loader.read()
        self._file = None
        self._task = None  # the check of a bundle that is whole
        self._offer = self._read_offer()
        self._at = 0
        if self._state.on_trial:
            self._forget_offer()  # it is what runs
        elif self._offer is not None:
            self._at = self._held()
            if self._offer["take"]:
                self._begin_check()

    # --- what is asked for, by commands ---

    def obey(self, fields):
        """Return the reply's fields; raises ValueError or OSError with the reason."""
        return _STEPS[fields["do"]](self, fields)

    @property
    def on_trial(self):
        return self._state.on_trial

    @property
    def checks(self):
        """Whether a bundle that is whole is being checked."""
        return self._task is not None

    async def checked(self):
        """Wait until it is refused; when it is not, the board starts anew before."""
        await self._task

    def _tell(self, fields):
        running = self._running()
        return {
            "version": running.version,
            "board": running.board,
            "mpy": running.mpy,
            "config": running.config,
            "image": running.base,
            "slot": self._state.now,
            "digest": self._digest_of_running(),
            "on_trial": self._state.on_trial,
            "checking": self.checks,
            "at": self._at,
            "said": self._gateway.firmware_said,
        }

    def _take_offer(self, fields):
        """Begin with a bundle, or go on with it: "at" is what is here of it."""
        if self._state.on_trial or self._gateway.on_trial:
            raise ValueError("a trial is under way")
        if self._task:
            raise ValueError("the one before is being checked")
        size, digest = fields["size"], fields["digest"]
        if not 0 < size <= bundle.BUNDLE_MAX:
            raise ValueError("%d bytes, want at most %d" % (size, bundle.BUNDLE_MAX))
        known = self._offer
        if known is None or (known["size"], known["digest"]) != (size, digest):
            self._close()
            self._loader.clear_spare()
            self._check_space(size)
            self._offer = {"size": size, "digest": digest, "older": False, "take": False}
            self._write_offer()
        if self._file is None:
            self._file = open(self._path(), "ab")  # noqa: SIM115  open from part to part
            self._at = self._held()
        return {"at": self._at}

    def _take_part(self, fields):
        """Write a part behind those before it; "at" is what is here now, this part or not."""
        if self._file is None:
            raise ValueError("nothing is offered")
        data = a2b_base64(fields["data"])
        if fields["at"] == self._at and self._at + len(data) <= self._offer["size"]:
            self._file.write(data)
            before = self._at
            self._at += len(data)
            if before // _SYNC != self._at // _SYNC:
                self._file.flush()
        return {"at": self._at}

    def _take_all(self, fields):
        """Check what has come; put it on trial if all is right. `firmware` tells how it goes."""
        if self._offer is None or self._task:
            raise ValueError(
                "nothing is offered" if self._offer is None else "it is being checked"
            )
        self._close()
        self._offer["take"] = True
        self._offer["older"] = bool(fields.get("older"))
        self._write_offer()
        self._begin_check()
        return {"checking": True}

    # --- the slot that does not hold ---

    def _path(self):
        return self._loader.path(self._state.spare)

    def _held(self):
        try:
            return os.stat(self._path())[6]
        except OSError:
            return 0

    def _read_offer(self):
        try:
            with open(self._loader.OFFER) as file:
                found = json.load(file)
            known = ("size", "digest", "older", "take")
            return {name: found[name] for name in known}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_offer(self):
        fresh = self._loader.OFFER + ".new"
        with open(fresh, "w") as file:
            json.dump(self._offer, file)
        os.rename(fresh, self._loader.OFFER)

    def _forget_offer(self):
        self._offer = None
        try:
            os.remove(self._loader.OFFER)
        except OSError:
            pass  # there was none

    def _close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _check_space(self, size):
        try:
            os.mkdir(self._loader.FOLDER)
        except OSError:
            pass  # it is there
        row = os.statvfs(self._loader.FOLDER)
        free = (row[3] - _SPARE_BLOCKS) * row[0]
        if size > free:
            raise ValueError("%d bytes, and %d are free" % (size, max(0, free)))

    # --- is it what it should be? ---

    def _running(self):
        board = getattr(self._gateway.wiring, "BOARD", "")
        mpy = getattr(sys.implementation, "_mpy", 0)
        return bundle.Manifest(VERSION, board, mpy, CONFIG_VERSION, self._loader.image)

    def _digest_of_running(self):
        if not self._state.now:
            return ""
        with open(self._loader.path(self._state.now), "rb") as file:
            file.seek(-bundle.TAIL_SIZE, 2)
            return hexlify(file.read(bundle.DIGEST_SIZE)).decode()

    def _begin_check(self):
        self._task = asyncio.create_task(self._check())

    async def _check(self):
        gateway = self._gateway
        try:
            manifest = await self._judge()
        except bundle.Refused as error:
            gateway.counters.add("firmware_" + error.cause)
            self._refuse(str(error))
            return
        except Exception as error:  # memory, for one
            gateway.counters.add("firmware_unchecked")
            self._refuse("unchecked: %s: %s" % (type(error).__name__, error))
            return
        # By then it shows which devices speak and whether a site receipts: so must the new one.
        while gateway.clock.mono_ms() < self._known_ms() or gateway.on_trial:
            await asyncio.sleep_ms(_WAIT_MS)
        receipt, live = self._is_receipted(), self._live()
        gateway.notice_firmware("%s in place of %s, on trial" % (manifest.version, VERSION))
        await asyncio.sleep_ms(_PAUSE_MS)
        if self._loader.switch(receipt, live):
            machine.reset()
        else:
            gateway.counters.add("firmware_unchecked")
            self._refuse("unchecked: the flash takes nothing more")

    def _refuse(self, why):
        self._gateway.notice_firmware("refused: " + why)
        self._at = 0
        self._task = None
        try:
            self._forget_offer()
            self._loader.clear_spare()
        except OSError:
            pass  # the next offer begins with the same

    async def _judge(self):
        """Return the Manifest of the bundle that has come; raises Refused."""
        try:
            with open(self._path(), "rb") as file:
                return await self._judge_file(file)
        except OSError as error:
            raise bundle.Refused("truncated", "it cannot be read: %s" % error)
        except FormatError as error:
            raise bundle.Refused("damaged", str(error))

    async def _judge_file(self, file):
        held = self._held()
        if held < max(self._offer["size"], bundle.HEAD_SIZE):
            text = "%d of %d bytes have come"
            raise bundle.Refused("truncated", text % (held, self._offer["size"]))
        size, manifest_size, _ = bundle.parse_head(file.read(bundle.HEAD_SIZE))
        if size != held:
            raise bundle.Refused("truncated", "%d bytes, want %d" % (held, size))
        manifest = bundle.parse_manifest(file.read(manifest_size))
        file.seek(0)
        hashed = hashlib.sha256()
        buffer = bytearray(_PIECE)
        view = memoryview(buffer)
        left = size - bundle.TAIL_SIZE
        while left:
            count = file.readinto(view[: min(left, _PIECE)])
            if not count:
                raise bundle.Refused("truncated", "%d bytes are missing" % left)
            hashed.update(view[:count])
            left -= count
            await asyncio.sleep_ms(0)
        digest = file.read(bundle.DIGEST_SIZE)
        if hashed.digest() != digest or hexlify(digest).decode() != self._offer["digest"]:
            raise bundle.Refused("damaged", "its digest is another one")
        await self._check_signature(digest, file.read(bundle.SIGNATURE_SIZE))
        manifest.check(self._running(), self._offer["older"])
        return manifest

    async def _check_signature(self, digest, signature):
        """Raise Refused unless the ward's authority has signed."""
        key = None
        for name in _AUTHORITIES:
            try:
                with open(name, "rb") as file:
                    key = p256.key_of(file.read())
            except OSError:
                continue  # a gateway without TLS has none
            if key:
                break
        if key is None:
            raise bundle.Refused("unsigned", "no authority with a key on P-256 is known here")
        for is_right in p256.verify(key, digest, signature):
            if is_right is None:
                await asyncio.sleep_ms(0)
        if not is_right:
            raise bundle.Refused("unsigned", "the ward's authority has not signed it")

    # --- the trial ---

    def _is_receipted(self):
        return any(forwarder.up for forwarder in self._gateway.forwarders)

    def _known_ms(self):
        return 3 * self._gateway.config.device_silent_ms

    def _live(self):
        """Return which devices speak: bit n for number n."""
        mask = 0
        for device, heard_ms in enumerate(self._gateway.recorder.heard_ms):
            if heard_ms >= 0:
                mask |= 1 << device
        return mask

    def watch(self):
        """Keep the firmware that is on trial, or go back; call it each second."""
        if not self._state.on_trial:
            return
        gateway = self._gateway
        now_ms = gateway.clock.mono_ms()
        if now_ms < self._known_ms():
            return
        wrong = self._wrong()
        if not wrong:
            if self._loader.keep():
                self._state = self._loader.read()
                gateway.notice_firmware("%s kept" % VERSION)
        elif now_ms > self._known_ms() + gateway.config.trial_ms:
            self._loader.go_back(self._loader.read(), "%s: %s" % (VERSION, wrong))
            machine.reset()

    def _wrong(self):
        """Return what is worse than it was before the trial, "" for nothing."""
        gateway = self._gateway
        for name in gateway.counters.values:
            if name.startswith("restart_"):
                return "%s %s" % (name, gateway.counters.last_error)
        silent = self._state.live & ~self._live()
        for device, name in enumerate(gateway.recorder.names):
            if silent >> device & 1:
                return "%s is silent" % name
        if self._state.receipt and not self._is_receipted():
            return "no site receipts"
        return ""


_STEPS = {
    "firmware": Update._tell,
    "firmware-offer": Update._take_offer,
    "firmware-part": Update._take_part,
    "firmware-take": Update._take_all,
}
