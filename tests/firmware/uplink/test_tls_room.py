"""Room for TLS sessions in a heap that is full of holes, each of them too small."""

import subprocess
from textwrap import dedent

from hil.board import FIRMWARE, find_micropython

# What mbedTLS takes for a session on RP2: docs/guides/heap.md
_JOB = f"""
    import sys
    sys.path.append({str(FIRMWARE)!r})
    import gc
    from bridge.uplink.tls_room import TlsRoom

    class Context:
        def wrap_socket(self, sock, **options):
            return [bytearray(size) for size in (16717, 4429, 1024, 1024, 1024)]

    room = TlsRoom(int(sys.argv[1]), 2)

    # Every second small thing stays: what is free then is in pieces of a kilobyte.
    kept = []
    try:
        while True:
            kept.append(bytearray(1000))
    except MemoryError:
        pass
    for index in range(0, len(kept), 2):
        kept[index] = None
    gc.collect()
    assert gc.mem_free() > 60000, gc.mem_free()

    opened = 0
    try:
        for _ in range(50):
            secured = [room.around(Context()) for _ in range(2)]
            sessions = [one.wrap_socket(None, server_hostname="broker") for one in secured]
            opened += len(sessions)
            small = None
            for _ in range(200):
                small = (small, bytearray(24))
            sessions = None
            for one in secured:
                one.close()
                one.close()  # more than once does nothing
    except MemoryError:
        pass
    print(opened, room.missing)
"""


def sessions_in_holes(size: int) -> tuple[int, int]:
    """Return how many sessions opened, and how often the room could not be taken back."""
    command = [find_micropython(), "-X", "heapsize=256k", "-c", dedent(_JOB), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    opened, missing = map(int, done.stdout.split())
    return opened, missing


def test_two_sessions_open_again_and_again_among_holes_that_are_too_small() -> None:
    assert sessions_in_holes(26 * 1024) == (100, 0)


def test_without_the_room_none_opens() -> None:
    assert sessions_in_holes(0) == (0, 0)


def test_a_block_that_cannot_be_taken_is_counted_and_tried_again() -> None:
    # Something large is in the way at boot, and later is not.
    job = """
        import gc
        big = bytearray(160000)
        room = TlsRoom(26624, 2)
        print(room.missing)
        big = None
        room.keep()
        print(room.missing, len(room._kept))
    """
    setup = f"import sys; sys.path.append({str(FIRMWARE)!r}); "
    setup += "from bridge.uplink.tls_room import TlsRoom\n"
    command = [find_micropython(), "-X", "heapsize=190k", "-c", setup + dedent(job)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["1", "1", "2"], done.stdout + done.stderr
