"""Cellular: a modem on a UART, dialled with AT commands, then PPP (`network.PPP`) on the same.

The UART is the dialogue's until CONNECT and the port's PPP until that is closed. Neither port
sends LCP echoes, so a modem that was reset is only known by the silence: `renew` hangs up.
"""

import asyncio
import time

import machine
import network
from micropython import const

from bridge.core.at import Answer, is_registered
from bridge.uplink.nic import NO_ADDRESS, STARTING, Nic

_LOOK_MS = const(20)
_ANSWER_MS = const(1500)
_SLOW_ANSWER_MS = const(10000)
_DIAL_MS = const(30000)
_GUARD_MS = const(1100)  # silence around the escape sequence (V.250: at least a second)
_SEARCH_MS = const(60000)
_ADDRESS_MS = const(20000)
_CLOSE_MS = const(10000)  # two Terminate-Requests that nobody answers, 3 s each
_RESET_MS = const(200)
_GREETING_MS = const(500)
_BOOT_TRIES = const(20)  # a second each: some take a quarter of a minute
_AGAIN_MS = const(3000)
_RXBUF = const(2048)
_CONNECTING = const(3)  # of PPP.status(); below it the port no longer reads the UART

_NO_SIM = ("10", "13", "15", "SIM not inserted", "SIM failure", "SIM wrong")  # TS 27.007, 9.2


class ModemFault(Exception):
    """The dialogue came to an end before CONNECT; its argument is the word for it."""


class Ppp(Nic):
    """A modem and the session over it.

    row       of the wiring: uart, baud, tx, rx; reset: a pin that resets the modem when low
    settings  "apn", and where the provider wants them "user" and "key"
    """

    renew_when_deaf = True

    def __init__(self, row, settings):
        self._uart = machine.UART(
            row["uart"],
            baudrate=row.get("baud", 115200),
            tx=row["tx"],
            rx=row["rx"],
            rxbuf=_RXBUF,
            timeout=0,
            timeout_char=0,
        )
        super().__init__(row, network.PPP(self._uart))
        self._settings = settings
        self._reset = None
        if "reset" in row:
            self._reset = machine.Pin(row["reset"], machine.Pin.OUT, value=1)
        self._buffer = bytearray(64)
        self._view = memoryview(self._buffer)
        self._fault = STARTING
        self._is_dialled = False

    def look(self):
        return "" if self.is_up() else self._fault

    def is_up(self):
        return self._is_dialled and super().is_up()

    async def tend(self, beat):
        """Dial when nobody has, and again when the session ended; takes its time."""
        if self.is_up():
            return
        try:
            if self._is_dialled:
                self._fault = "no_carrier"
                await self._hang_up(beat)
            await self._dial(beat)
            await self._negotiate(beat)
            self._fault = "no_carrier"  # for when it is down again
        except ModemFault as fault:
            self._fault = fault.args[0]
            await self._sleep(_AGAIN_MS, beat)

    async def renew(self):
        await self._hang_up(_nothing)

    def stop(self):
        self._nic.disconnect()

    # --- the dialogue ---

    async def _dial(self, beat):
        await self._wake(beat)
        await self._want_sim(beat)
        await self._want_network(beat)
        apn = '"IP","%s"' % self._settings["apn"]
        await self._command("AT+CGDCONT=1," + apn, _ANSWER_MS, beat, "apn_refused")
        answer = await self._ask("ATD*99#", _DIAL_MS, beat)
        if not answer.result.startswith("CONNECT"):
            raise ModemFault("no_carrier" if answer.result else "modem_silent")

    async def _wake(self, beat):
        """Bring the modem to where it takes commands, from wherever it was left."""
        if await self._greets(beat):
            return
        # It may still be in a session of before our reboot.
        await self._sleep(_GUARD_MS, beat)
        self._uart.write(b"+++")
        await self._sleep(_GUARD_MS, beat)
        if await self._greets(beat):
            return
        self._fault = "modem_silent"
        if self._reset is not None:
            self._reset.value(0)
            await self._sleep(_RESET_MS, beat)
            self._reset.value(1)
            for _ in range(_BOOT_TRIES):
                if await self._greets(beat):
                    return
        raise ModemFault(self._fault)

    async def _greets(self, beat):
        for _ in range(2):
            if (await self._ask("AT", _GREETING_MS, beat)).result == "OK":
                for setting in ("ATE0", "AT+CMEE=1"):  # no echo; errors by number
                    await self._ask(setting, _ANSWER_MS, beat)
                return True
        return False

    async def _want_sim(self, beat):
        answer = await self._ask("AT+CPIN?", _SLOW_ANSWER_MS, beat)
        state = answer.value("+CPIN:")
        if state == "READY":
            return
        # A code is never tried from here: three wrong ones lock a card for good.
        if state is not None:
            raise ModemFault("sim_locked")
        error = answer.result[len("+CME ERROR:") :].strip()
        raise ModemFault("no_sim" if error in _NO_SIM else "modem_refuses")

    async def _want_network(self, beat):
        began_ms = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), began_ms) < _SEARCH_MS:
            for command, prefix in (("AT+CEREG?", "+CEREG:"), ("AT+CREG?", "+CREG:")):
                state = is_registered(await self._ask(command, _ANSWER_MS, beat), prefix)
                if state:
                    return
                if state is False:
                    raise ModemFault("network_refuses")
            self._fault = "no_network"
            await self._sleep(1000, beat)
        raise ModemFault("no_network")

    async def _command(self, text, timeout_ms, beat, fault):
        answer = await self._ask(text, timeout_ms, beat)
        if answer.result != "OK":
            raise ModemFault(fault if answer.result else "modem_silent")

    async def _ask(self, text, timeout_ms, beat):
        """Return the Answer to a command, with the result "" when there was none in time."""
        while self._uart.readinto(self._buffer):
            pass  # what was said before is no answer
        self._uart.write(text.encode() + b"\r")
        answer = Answer()
        began_ms = time.ticks_ms()
        while not answer.result and time.ticks_diff(time.ticks_ms(), began_ms) < timeout_ms:
            beat()
            count = self._uart.readinto(self._buffer)
            if count:
                answer.feed(self._view[:count])
            else:
                await asyncio.sleep_ms(_LOOK_MS)
        return answer

    # --- the session ---

    async def _negotiate(self, beat):
        """Have the port's PPP get an address; up is only what has one."""
        settings = self._settings
        options = {}
        if "user" in settings:
            options = {"security": network.PPP.SEC_CHAP, "user": settings["user"]}
            options["key"] = settings.get("key", "")
        self._fault = STARTING
        self._is_dialled = True
        self._nic.connect(**options)
        began_ms = time.ticks_ms()
        while not self.is_up():
            if time.ticks_diff(time.ticks_ms(), began_ms) >= _ADDRESS_MS:
                await self._hang_up(beat)
                raise ModemFault(NO_ADDRESS)
            beat()
            await asyncio.sleep_ms(_LOOK_MS)

    async def _hang_up(self, beat):
        """Close PPP, and wait until the UART is ours again."""
        self._nic.disconnect()
        began_ms = time.ticks_ms()
        while self._nic.status() >= _CONNECTING:
            if time.ticks_diff(time.ticks_ms(), began_ms) >= _CLOSE_MS:
                break
            beat()
            await asyncio.sleep_ms(_LOOK_MS)
        self._is_dialled = False

    async def _sleep(self, duration_ms, beat):
        began_ms = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), began_ms) < duration_ms:
            beat()
            await asyncio.sleep_ms(min(duration_ms, 200))


def _nothing():
    pass
