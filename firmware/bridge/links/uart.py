"""An RS232 line: bytes from a UART to a decoder's buffer, and its requests back."""

import asyncio

from micropython import const

from bridge.core.rings import receive_ring

_POLL_MS = const(10)
_SLICE = const(8)  # events handled before other tasks have their turn
_PARITY = {"N": None, "E": 0, "O": 1}
_RXBUF_MIN = const(32)  # what a port insists on, where DMA has a ring of its own
_ERRORS = ("overruns", "framing", "parity", "breaks")

# Which way bytes went that a tap is given
HEARD = const(0)
SENT = const(1)


def open_uart(line, pins):
    """Return a machine.UART for one line of the configuration, by DMA where the wiring says so."""
    from machine import UART

    options = {name: pins[name] for name in pins if name != "dma"}
    uart = UART(
        line["uart"],
        baudrate=line["baud"],
        bits=line["bits"],
        parity=_PARITY[line["parity"]],
        stop=line["stop"],
        rxbuf=_RXBUF_MIN if "dma" in pins else receive_ring(line),
        timeout=0,
        timeout_char=0,
        **options,
    )
    if "dma" not in pins:
        return uart
    from bridge.links.dma_uart import DmaUart

    return DmaUart(pins["dma"], line["uart"], uart, receive_ring(line))


class UartLine:
    """One line and its decoder.

    take   take(number, event) for each event
    clock  has mono_ms()

    tap       a Tap while somebody listens in, else None
    reading   False between a failure and the next start
    empty_ms  when all that had come was last taken in
    """

    def __init__(self, number, uart, decoder, take, clock):
        self.number = number
        self.tap = None
        self.reading = False
        self.empty_ms = 0
        self._uart = uart
        self._decoder = decoder
        self._take = take
        self._clock = clock

    async def run(self, beat):
        """Read and ask for ever; `beat()` is called at each turn."""
        self.reading = True
        try:
            while True:
                beat()
                now_ms = self._clock.mono_ms()
                busy = self._turn(now_ms)
                if not busy:
                    self.empty_ms = now_ms
                request = self._decoder.next_request(now_ms)
                if request is not None:
                    self._send(request)
                    if self.tap is not None:
                        self.tap.take(SENT, request, len(request), now_ms)
                if self.tap is not None and now_ms > self.tap.until_ms:
                    self.tap = None  # nobody fetches what it hears
                await asyncio.sleep_ms(0 if busy else _POLL_MS)
        finally:
            self.reading = False

    def _turn(self, now_ms):
        """Move what has arrived into the decoder; True when there may be more to do."""
        rx = self._decoder.rx
        window = rx.window()
        room = len(window)
        count = self._uart.readinto(window) if room else 0
        if count:
            if self.tap is not None:
                self.tap.take(HEARD, window, count, now_ms)
            rx.commit(count)
        for _ in range(_SLICE):
            event = self._decoder.next_event()
            if event is None:
                # A window filled to its end: after a stall the ring has more.
                return room > 0 and count == room
            self._take(self.number, event)
        return True

    def errors(self):
        """Return (name, count) of what the UART itself found wrong, where it can tell."""
        uart = self._uart
        return [(name, getattr(uart, name)) for name in _ERRORS if hasattr(uart, name)]

    def end(self):
        """Say goodbye to a device that raises an alarm, or waits, when nobody asks any more."""
        goodbye = self._decoder.goodbye() if hasattr(self._decoder, "goodbye") else None
        if goodbye is not None:
            self._send(goodbye)

    def _send(self, data):
        self._uart.write(data)
