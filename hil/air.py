"""The air between the radios of a rig: how long frames take, what is lost, and what collides."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

CAPTURE_DB = 6  # a frame so much stronger than all others is received in spite of them
_NOISE_DBM = -117  # of a receiver with 125 kHz
_SNR_MAX = 10.0
_SNR_MIN = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}


@dataclass
class Transmission:
    """One frame on the air; times are those of the event loop in seconds."""

    sender: str
    settings: str
    payload: bytes
    airtime_us: int
    dbm: int
    begins_s: float
    others: list["Transmission"] = field(default_factory=list)
    lost_for: list[str] = field(default_factory=list)
    collided_for: list[str] = field(default_factory=list)

    @property
    def ends_s(self) -> float:
        return self.begins_s + self.airtime_us / 1_000_000


class Air(asyncio.DatagramProtocol):
    """The shared medium. Antennas (hil/virtual_board/antenna.py) find it at `port`.

    loss        how often, from 0 to 1, a frame does not reach one receiver
    path_db     what a frame loses on its way from each antenna, by name; 80 where none is given
    sent        every transmission so far
    """

    def __init__(self, loss: float = 0.0, seed: int = 0) -> None:
        self.loss = loss
        self.path_db: dict[str, int] = {}
        self.sent: list[Transmission] = []
        self.port = 0
        self._random = random.Random(seed)
        self._names: dict[Any, str] = {}
        self._under_way: list[Transmission] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._numbers = 0

    async def start(self) -> int:
        """Listen on 127.0.0.1 and return the port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self.port

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def airtime_us(self, sender: str, within_s: float = 3600.0) -> int:
        """Return the most airtime of a sender in any stretch of so many seconds."""
        mine = [sent for sent in self.sent if sent.sender == sender]
        most = 0
        for last in mine:
            stretch = [s for s in mine if last.ends_s - within_s < s.ends_s <= last.ends_s]
            most = max(most, sum(sent.airtime_us for sent in stretch))
        return most

    def datagram_received(self, data: bytes, address: Any) -> None:
        said = json.loads(data)
        if "here" in said:
            self._names[address] = said["here"]
        elif address in self._names:
            self._begin(address, said)

    def _begin(self, address: Any, said: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        frame = Transmission(
            self._names[address],
            said["set"],
            bytes.fromhex(said["data"]),
            said["us"],
            said["dbm"],
            loop.time(),
        )
        self._numbers += 1
        number = self._numbers
        for other in self._under_way:
            # Other spreading factors and channels hardly disturb each other.
            if other.settings == frame.settings:
                other.others.append(frame)
                frame.others.append(other)
        self._under_way.append(frame)
        self.sent.append(frame)
        reached = []
        for there, name in self._names.items():
            if there == address:
                continue
            if self._random.random() < self.loss or self._snr(frame) is None:
                frame.lost_for.append(name)
                continue
            reached.append(there)
            self._tell(there, {"begin": number, "set": frame.settings, "dbm": self._level(frame)})
        loop.call_later(frame.airtime_us / 1_000_000, self._end, number, frame, reached)

    def _end(self, number: int, frame: Transmission, reached: list[Any]) -> None:
        self._under_way.remove(frame)
        level = self._level(frame)
        bad = any(level < self._level(other) + CAPTURE_DB for other in frame.others)
        payload = frame.payload
        if bad and payload:
            payload = bytes((payload[0] ^ 0xFF,)) + payload[1:]
        for there in reached:
            name = self._names[there]
            if bad:
                frame.collided_for.append(name)
            word = {"end": number, "data": payload.hex(), "bad": bad}
            self._tell(there, word | {"dbm": level, "snr": self._snr(frame)})

    def _tell(self, address: Any, word: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(json.dumps(word).encode(), address)

    def _level(self, frame: Transmission) -> int:
        return frame.dbm - self.path_db.get(frame.sender, 80)

    def _snr(self, frame: Transmission) -> float | None:
        """Return the signal to noise ratio in dB, None where a receiver finds no signal."""
        snr = min(float(self._level(frame) - _NOISE_DBM), _SNR_MAX)
        return snr if snr >= _SNR_MIN.get(int(frame.settings.split("/")[3]), -7.5) else None
