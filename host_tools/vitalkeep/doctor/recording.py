"""What was heard on a line, at one setting of the UART."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vitalkeep.doctor.setting import Setting

_PAUSE_S = 0.03


@dataclass
class Recording:
    """What one UART heard for some time.

    setting         how it was set
    seconds         how long it listened
    heard           bytes with the second at which the last of them was in
    sent            what was sent meanwhile
    framing_errors  characters without a stop bit, None where nobody counted
    parity_errors   the same, of wrong parity
    idle            level of the line between characters, None where nobody looked: 1 is as it
                    should be
    """

    setting: Setting
    seconds: float
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    sent: bytes = b""
    framing_errors: int | None = None
    parity_errors: int | None = None
    idle: int | None = None

    @property
    def data(self) -> bytes:
        return b"".join(piece for _, piece in self.heard)

    def bursts(self) -> list[Recording]:
        """Return what was heard between two pauses, each as a recording of its own."""
        found: list[Recording] = []
        before_s = -_PAUSE_S
        for at_s, piece in self.heard:
            if not found or at_s - before_s > _PAUSE_S:
                found.append(replace(self, heard=[]))
            found[-1].heard.append((at_s, piece))
            before_s = at_s
        return found
