"""What each driver may send, and what it must never: written from the devices' documents.

SENDABLE   patterns of whole requests: reads, acknowledgements, sessions and what keeps them
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
        rb"\xd0\xc1[\xc0-\xcf]\xc0\xc0",
    ),
    "alaris_asena": (rb"!(INF|INST_SERIALNO|ALARM|COMMS_PROTOCOL)\|[0-9A-F]{4}\r",),
    "bbraun_bcc": (
        # Stuffed: E is EE and D is EX.
        rb"\x01\d{5}\x02[ -~]{1,20}>AEXMIN:ALIVEE\x03\d{5}\x04",
        rb"\x01\d{5}\x02[ -~]{1,20}>MEEM:GEET\x03\d{5}\x04",
        rb"[\x06\x15]",
    ),
    "fresenius_orchestra": (
        rb"[\x06\x14\x15]",
        rb"\x02[0-5](DC|LE;[a-z]+|E|M)[0-9A-F]{2}\x03",
    ),
    "graseby_3400": (rb"<(GETR|TOTL|CHCK)>[0-9A-F]{2}\r",),
    "masimo_set": (),
    "aspect_bis": (
        rb"\xba\xab\x00\x00\x0d\x00\x01\x00\x04\x00\x00\x00\x73\x00{5}\x01\x00\x00\x86\x00",
    ),
    "line_template": (),
    "nurse_call": (),
    "astm": (rb"[\x06\x15]",),
    "modbus_ascii": (rb":[0-9A-F]{2}0[1-4][0-9A-F]{10}\r\n",),
    "ge_s5": (
        # Displayed values of the basic class; waves; the alarms' state (command 0).
        rb"~1\x00{20}\xff\x00{18}\x01\x05\x00{7}6~",
        rb"~H\x00{13}\x01\x00{6}\xff\x00{22}[\x01-\x17]{1,8}\xff.{20,40}~",
        rb"~4\x00{13}\x04\x00{6}\xff\x00{30}7~",
    ),
    "hamilton": (rb"\x02[\x1e-\x7f]\x03\r",),
    "hl7_oru": (
        rb"\x0bMSH\|\^~\\&\|[^\x0b\x1c]*ACK\^R01[^\x0b\x1c]*\rMSA\|AA\|[^\x0b\x1c]*\r\x1c\r",
    ),
    "mindray_pds": (rb"\x0bMSH\|\^~\\&\|{7}ORU\^R01\|106\|P\|2\.3\.1\|\r\x1c\r",),
    "capnostream": (rb"\x85\x01(\x01\x00|\x04\x05|\x06\x07)",),
    "nellcor_oximax": (),
    "nonin": (),
    "servo_cie": (
        rb"\x1b|RCTY(3B)?\x04|(RHVE|RCCO|RADAB|RADAS|RADAE)[0-9A-F]{2}\x04",
        rb"SPVE\d{3}[0-9A-F]{2}\x04|SDAD[BSE](\d{3})+[0-9A-F]{2}\x04",
    ),
    "philips_intellivue": (
        rb"\xc0\x11\x01\x00\xee\x0d.*\xc1",  # association
        rb"\xc0\x11\x01\x00\x1a\x09.*\xc1",  # release
        # The answer to the MDS create event; polls, single (0C16) and extended (F13B).
        rb"\xc0\x11\x01\x00\x1c\xe1\x00\x00\x02\x00\x02\x00\x14..\x00\x01.*\x0d\x06.*\xc1",
        rb"\xc0\x11\x01\x00\x24\xe1\x00\x00\x02\x00\x01\x00\x1c\x00.\x00\x07.*\x0c\x16.*\xc1",
        rb"\xc0\x11\x01\x00\x30\xe1\x00\x00\x02\x00\x01\x00\x28\x00.\x00\x07.*\xf1\x3b.*\xc1",
    ),
    "puritan_bennett": (rb"(SNDF|SNDA|RSET)\r",),
    "puritan_bennett_waves": (),
    "modbus_rtu": (rb"[\x01-\xf7][\x01-\x04].{6}",),
}

FORBIDDEN: dict[str, tuple[bytes, ...]] = {
    "draeger_medibus": (b"\x1bJ65\r",),  # choose data: changes what the device answers
    "alaris_asena": (
        b"!REMOTE_CTRL^ENABLED^DB36|8AD3\r",
        b"!INF_STOP|55E2\r",
        b"!INF_RATE^5.0^ml/h|0000\r",
    ),
    "bbraun_bcc": (b"\x0100036\x02ICU7/1/1>MEEM:PUT\x0300008\x04",),
    "fresenius_orchestra": (b"\x021PR;001932\x03", b"\x021PO5F\x03", b"\x021OF63\x03"),
    "graseby_3400": (b"<STRT>C9\r", b"<STOP>C2\r", b"<CHGR125>00\r", b"<CHKR125>00\r"),
    "masimo_set": (b"\r",),
    "aspect_bis": (b"\xba\xab\x00\x00\x0c\x00\x01\x00\x04\x00\x00\x00\x75" + bytes(10),),
    "line_template": (b"\r\n",),
    "nurse_call": (b"0",),
    "astm": (b"\x05", b"\x021O|1|S1||^^^GLU|R\r\x0300\r\n"),  # an order
    "modbus_ascii": (b":0A050000FF00F2\r\n", b":0A1000000001020001E2\r\n"),
    "ge_s5": (b"~4" + bytes(12) + b"\x08" + bytes(6) + b"\xff" + bytes(30) + b"7~",),
    "hamilton": (b"\x0210P2000\x031B\r",),  # of the other protocol of these ventilators
    "hl7_oru": (b"\x0bMSH|^~\\&|GW|||||ORM^O01|1|P|2.6\rORC|NW\r\x1c\r",),  # an order
    "mindray_pds": (b"\x0bMSH|^~\\&|||||||QRY^R02|1203|P|2.3.1|\r\x1c\r",),
    "capnostream": (b"\x85\x03\x3c\x04\x02\x39",),  # a setup item
    "nellcor_oximax": (b"\x03\x03",),  # stops the printout
    "nonin": (b"\x02\x70\x02\x02\x08\x03",),  # chooses a format, for good
    "servo_cie": (b"SSMP0105B\x04", b"STOU0015F\x04", b"HO07\x04"),  # kept by the ventilator
    "philips_intellivue": (  # a confirmed set
        b"\xc0\x11\x01\x00\x24\xe1\x00\x00\x02\x00\x01\x00\x1c\x00\x03\x00\x05\x00\x16"
        + bytes(22)
        + b"\xc1",
    ),
    "puritan_bennett": (b"SETT\r",),
    "puritan_bennett_waves": (b"SNDF\r",),
    "modbus_rtu": (
        b"\x0a\x05\x00\x00\xff\x00\x8c\xfa",  # write a coil
        b"\x0a\x06\x00\x00\x00\x01\x48\xb1",  # write a register
    ),
}
