"""A chip's way to the rig's air: datagrams on this machine. Runs on CPython and on MicroPython.

to the air   {"tx": number, "set": settings, "data": hex, "us": airtime, "dbm": n}
             {"here": name}
from it      {"begin": number, "set": settings, "dbm": n}
             {"end": number, "data": hex, "bad": bool, "dbm": n, "snr": n}
"""

import json
import socket
from binascii import hexlify, unhexlify

_DATAGRAM_MAX = 2048


class Antenna:
    """One antenna; `name` tells the rig whose it is.

    port  of the rig's air on 127.0.0.1
    """

    def __init__(self, port, name):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        self._socket.setblocking(False)
        self._tell({"here": name})

    def close(self):
        self._socket.close()

    def _tell(self, message):
        try:
            self._socket.send(json.dumps(message).encode())
        except OSError:
            pass  # no rig, no air

    def send(self, number, settings, payload, airtime_us, dbm):
        """Say that a frame begins now."""
        data = hexlify(payload).decode()
        self._tell({"tx": number, "set": settings, "data": data, "us": airtime_us, "dbm": dbm})

    def poll(self):
        """Return what was heard since the last call, in order, as Sx1276 has it."""
        heard = []
        while True:
            try:
                data = self._socket.recv(_DATAGRAM_MAX)
            except OSError:
                return heard
            if not data:
                return heard
            said = json.loads(data)
            if "begin" in said:
                heard.append(("begin", said["begin"], said["set"], said["dbm"]))
            else:
                payload = unhexlify(said["data"])
                heard.append(("end", said["end"], payload, said["bad"], said["dbm"], said["snr"]))
