"""What a site has of a board's log, in the site's own authenticated words.

While the board's program is stopped this computer takes the gateway's place for a moment: it says
how far the log on the flash goes, and asks what of it the site has. The answer is a receipt under
the gateway's and the site's key, with a digest that must be that of the bytes on the flash.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Mapping, Sequence

from bridge.core import mqtt, wire
from bridge.core.errors import FormatError, TagError
from bridge.core.journal.layout import CLASSES, SECTOR_SIZE
from vitalkeep.errors import ToolError
from vitalkeep.keys import derive
from vitalkeep.keys.vault import Gateway
from vitalkeep.provision.board import Head
from vitalkeep.ward.plan import Site

_ANSWER_S = 15.0
_ASK_AGAIN_S = 3.0
_PACKET_MAX = 8192


def receipted(
    gateway: Gateway,
    log: bytes,
    heads: Mapping[str, Head],
    site: Site,
    context: ssl.SSLContext | None,
) -> set[str]:
    """Return the classes of which a site has all that is on the flash; raises ToolError.

    context  that shows a certificate of the gateway, None for a site without TLS
    """
    session = _Session(gateway, log, heads, site)
    with session.open(context) as line:
        return session.ask(line)


class _Session:
    def __init__(
        self, gateway: Gateway, log: bytes, heads: Mapping[str, Head], site: Site
    ) -> None:
        self._gateway = gateway
        self._log = log
        self._heads = heads
        self._site = site
        self._nonce = secrets.token_bytes(8)
        self._boot = secrets.randbits(32)
        self._where = f"site {site.name} at {site.host}:{site.port}"

    @contextlib.contextmanager
    def open(self, context: ssl.SSLContext | None):  # type: ignore[no-untyped-def]
        site = self._site
        try:
            line = socket.create_connection((site.host, site.port), _ANSWER_S)
            if context is not None:
                line = context.wrap_socket(line, server_hostname=site.server_name or site.host)
        except OSError as error:
            raise ToolError(
                f"{self._where}: {error}", "Is it reached from here, and does it run?"
            ) from None
        with line:
            yield line

    def ask(self, line: socket.socket) -> set[str]:
        id = self._gateway.id
        decoder = mqtt.Decoder(_PACKET_MAX)
        until = time.monotonic() + _ANSWER_S
        asked = -_ASK_AGAIN_S
        number = 0
        try:
            # Another name than the gateway's own, where the broker takes the client's word for it.
            line.sendall(mqtt.connect(f"vk-{secrets.token_hex(6)}", 30))
            line.sendall(mqtt.subscribe(1, [(wire.topic(id, "receipt"), 1)]))
            while time.monotonic() < until:
                if time.monotonic() - asked > _ASK_AGAIN_S:
                    asked = time.monotonic()
                    number += 1
                    beat = wire.pack_status(
                        derive.uplink_key(self._gateway.root, id), id, self._status()
                    )
                    line.sendall(mqtt.publish(wire.topic(id, "health"), beat, 1, 1 + number))
                for packet in _read(line, decoder, 1.0):
                    if packet.type == mqtt.CONNACK and packet.code:
                        raise ToolError(f"{self._where}: no session (code {packet.code})", _HINT)
                    if packet.type != mqtt.PUBLISH:
                        continue
                    if packet.qos:
                        line.sendall(mqtt.puback(packet.packet_id))
                    receipt = self._parse(packet.payload)
                    if receipt is not None:
                        with contextlib.suppress(OSError):
                            line.sendall(mqtt.disconnect())
                        return self._whole(receipt)
        except (OSError, EOFError) as error:
            raise ToolError(f"{self._where}: {error}", _HINT) from None
        raise ToolError(
            f"{self._where}: no receipt within {_ANSWER_S:.0f} s",
            "Does its hub run, and does its vault know this gateway?",
        )

    def _status(self) -> dict[str, object]:
        """Return a heartbeat of a boot that knows no time: it ties no clock to anything."""
        heads = {name: (head.oldest, head.newest, head.end) for name, head in self._heads.items()}
        return {
            "v": wire.WIRE_VERSION,
            "log": self._log.hex(),
            "nonce": self._nonce.hex(),
            "boot": self._boot,
            "mono": 0,
            "utc": 0,
            "clock": 0,
            "ask": True,
            "heads": heads,
            "pool": (0, 0),
            "backlog": dict.fromkeys(CLASSES, 0),
            "counters": {},
            "lines": [],
            "micropython": "none: at the bench",
            "firmware": "",
            "hours_left": None,
        }

    def _parse(self, payload: bytes) -> wire.Receipt | None:
        key = derive.receipt_key(
            self._gateway.root, self._gateway.id, bytes.fromhex(self._site.id)
        )
        try:
            receipt = wire.parse_receipt(payload, key, self._gateway.id)
        except TagError:
            raise ToolError(
                f"{self._where}: its receipt is not that of site {self._site.id}",
                "Is the id in the ward's file that of this site's vault?",
            ) from None
        except FormatError as error:
            raise ToolError(f"{self._where}: {error}", _HINT) from None
        return receipt if receipt.have and receipt.nonce == self._nonce else None

    def _whole(self, receipt: wire.Receipt) -> set[str]:
        found = set()
        for cls, name in enumerate(CLASSES):
            head = self._heads.get(name)
            if head is None or head.newest < 0 or self._has(receipt, cls, head):
                found.add(name)
        return found

    def _has(self, receipt: wire.Receipt, cls: int, head: Head) -> bool:
        closed = set(range(head.oldest, head.newest))
        newest = False
        for at, first, count, bits in receipt.maps:
            if at == cls:
                closed -= set(range(first))
                closed -= {first + n for n in range(count) if bits[n // 8] >> n % 8 & 1}
        for at, number, length, digest in receipt.entries:
            if at != cls:
                continue
            if number == head.newest:
                newest = length >= head.end and digest.hex() == head.digest
            elif length == SECTOR_SIZE:
                closed.discard(number)
        return newest and not closed


_HINT = "Is it the broker of a site of this gateway? vitalkeep hub doctor looks at a site."


def _read(line: socket.socket, decoder: mqtt.Decoder, seconds: float) -> Sequence[mqtt.Packet]:
    line.settimeout(seconds)
    try:
        data = line.recv(_PACKET_MAX // 2)
    except TimeoutError:
        return ()
    if not data:
        raise EOFError("the broker has closed the session")
    decoder.feed(data)
    found = []
    while (packet := decoder.next_packet()) is not None:
        found.append(packet)
    return found
