"""What each driver may send, and what it must never: written from the devices' documents.

SENDABLE   patterns of whole requests: reads, acknowledgements, keep-alives and sessions
FORBIDDEN  commands of the same protocol that change a therapy, an alarm, a setting or who is in
           control, as they would stand on the wire
"""

SENDABLE: dict[str, tuple[bytes, ...]] = {
    # Reads of data, alarms, settings, identity, curves; NOP, start and end; echoes of commands.
    "draeger_medibus": (
        rb"\x1b[$').0QRUS][0-9A-F]{2}\r",
        rb"\x1bT([0-9A-F]{4}){1,3}[0-9A-F]{2}\r",
        rb"\x01R[ -~]{1,40}[0-9A-F]{2}\r",
        rb"\x01[\x20-\x7f][0-9A-F]{2}\r",
        rb"\xc1[\xc0-\xcf]\xc0\xc0|\xc1[\xc0-\xcf]",
    ),
    "masimo_set": (),
    "modbus_rtu": (rb"[\x01-\xf7][\x01-\x04].{6}",),
}

FORBIDDEN: dict[str, tuple[bytes, ...]] = {
    "draeger_medibus": (b"\x1bJ65\r",),  # choose data: changes what the device answers
    "masimo_set": (b"\r",),
    "modbus_rtu": (
        b"\x0a\x05\x00\x00\xff\x00\x8c\xfa",  # write a coil
        b"\x0a\x06\x00\x00\x00\x01\x48\xb1",  # write a register
    ),
}
