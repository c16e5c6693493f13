"""What runs on a board to take in files, whole or not at all; prints True. ORDER comes before.

ORDER = {"files": [(path, hex)], "more": whether a first part is there already,
         "last": whether these are the ends, "remove": [paths], "feed": as in look.py}
"""

import binascii
import os

import machine


def _folders(path):
    parts = path.split("/")
    for count in range(2, len(parts)):
        try:
            os.mkdir("/".join(parts[:count]))
        except OSError:
            pass  # there already


if ORDER["feed"]:
    machine.WDT(timeout=8000).feed()
for _path in ORDER["remove"]:
    try:
        os.remove(_path)
    except OSError:
        pass  # it was not there
for _path, _data in ORDER["files"]:
    _folders(_path)
    with open(_path + ".part", "ab" if ORDER["more"] else "wb") as _file:
        _file.write(binascii.unhexlify(_data))
    if ORDER["last"]:
        os.rename(_path + ".part", _path)
print(True)
