"""An RS485 bus: a line whose transmitter is switched on for each request."""

from bridge.links.uart import UartLine


class Rs485Line(UartLine):
    """A half-duplex line; `enable` is the transceiver's driver-enable pin, None when automatic."""

    def __init__(self, number, uart, decoder, take, clock, enable):
        super().__init__(number, uart, decoder, take, clock)
        self._enable = enable

    def _send(self, data):
        if self._enable is None:
            self._uart.write(data)
            return
        self._enable.on()
        self._uart.write(data)
        # Blocks for the frame, 9 ms for eight bytes at 9600 bit/s: the driver must be off before
        # the answer starts, which no task could do in time.
        self._uart.flush()
        self._enable.off()
