"""`rp2.Flash` over a file, which is outside the heap; programs clear bits, whole pages only."""

_BLOCK = 4096
_PAGE = 256


class Flash:
    def __init__(self, start=0, len=0):
        self._file = open("flash.bin", "r+b", 0)  # noqa: SIM115  open as long as the board
        self._start = start
        self._size = len
        self._page = bytearray(_PAGE)
        self._blank = b"\xff" * _PAGE

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(self._start + block * _BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset):
        if len(buffer) != _PAGE or offset % _PAGE:
            raise OSError(22)
        place = self._start + block * _BLOCK + offset
        old = self._page
        self._file.seek(place)
        self._file.readinto(old)
        for index in range(_PAGE):
            old[index] &= buffer[index]
        self._file.seek(place)
        self._file.write(old)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._size // _BLOCK
        if operation == 5:
            return _BLOCK
        if operation == 6:
            self._file.seek(self._start + argument * _BLOCK)
            for _ in range(_BLOCK // _PAGE):
                self._file.write(self._blank)
            return 0
        return None
