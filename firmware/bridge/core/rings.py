"""The rings behind UARTs: each holds what comes during the longest stall of Python. Pure.

A flash erase takes up to 0.4 s, a TLS handshake up to 1.2 s (docs/guides/stalls.md); meanwhile no
task reads. What a ring cannot hold is lost without a word, so a line that does not fit is refused
when it is configured. On RP2 rings lie in the Python heap, beside the gateway itself and what
mbedTLS takes for its sessions: together they must fit as well.
"""

from micropython import const

from bridge.core.errors import ConfigError

STALL_MS = const(1200)
_RING_MIN = const(256)
_DMA_CHARACTERS_MAX = const(16384)  # the chip's ring ends at 32 KB, two bytes for each character
_RXBUF_MAX = const(32766)  # RP2; a board with more says so in its wiring
_MEMORY_MAX = const(81920)  # for all rings of a board that does not say how large its heap is
# What importing frozen code makes, the loader, and all data with a turn's garbage
# (docs/guides/heap.md)
GATEWAY_HEAP = const(118784)


def receive_ring(line):
    """Return how many characters arrive on a line during the longest stall, 256 at least.

    line  of the configuration: baud, bits, parity, stop
    """
    character_bits = 1 + line["bits"] + (line["parity"] != "N") + line["stop"]
    return max(_RING_MIN, -(-line["baud"] * STALL_MS // (1000 * character_bits)))


def ring_memory(line, dma):
    """Return the bytes that a line's ring takes; by DMA it lies at a multiple of its size."""
    characters = receive_ring(line)
    if not dma:
        return characters
    size = 64
    while size < 2 * characters:
        size *= 2
    return 2 * size


def room_for_rings(wiring, sessions):
    """Return how many bytes all rings of a board may take.

    wiring    the board's: where TLS_ROOM says that its port takes sessions from the Python heap,
              rings lie there too, and HEAP is how large that is with nothing in it
    sessions  TLS sessions open at once
    """
    tls, heap = getattr(wiring, "TLS_ROOM", 0), getattr(wiring, "HEAP", 0)
    if not tls or not heap:
        return _MEMORY_MAX
    return max(0, heap - GATEWAY_HEAP - sessions * tls)


def check_rings(wiring, lines, sessions=0):
    """Raise ConfigError when a board's rings cannot hold the longest stall of these lines.

    wiring    the board's: UARTS, and RXBUF_MAX where its port takes more than 32766 bytes; HEAP
              and TLS_ROOM as in `room_for_rings`
    lines     of a Config; those that are not on a UART are passed over
    sessions  TLS sessions open at once
    """
    total = 0
    for line in lines:
        pins = wiring.UARTS.get(line["uart"])
        if pins is None or "tcp" in line:
            continue
        dma = "dma" in pins
        most = _DMA_CHARACTERS_MAX if dma else getattr(wiring, "RXBUF_MAX", _RXBUF_MAX)
        characters = receive_ring(line)
        if characters > most:
            raise ConfigError(
                "lines: uart %d: %d baud brings %d characters during a stall of %d ms, and its "
                "ring holds %d: choose a slower baud"
                % (line["uart"], line["baud"], characters, STALL_MS, most)
            )
        total += ring_memory(line, dma)
    room = room_for_rings(wiring, sessions)
    if total > room:
        raise ConfigError(
            "lines: the rings for stalls of %d ms take %d bytes, want at most %d beside %d TLS "
            "sessions: fewer lines, slower ones, or a board with more memory"
            % (STALL_MS, total, room, sessions)
        )
