"""A fixed receive buffer: a reader fills a window, a decoder drops from the front."""


class RxBuffer:
    """Bytes on their way from a line to a decoder; never grows, never allocates per byte.

    data   bytearray; the `count` valid bytes start at index 0
    """

    def __init__(self, size):
        self.data = bytearray(size)
        self.count = 0
        self._view = memoryview(self.data)

    def window(self):
        """Return the free part for `readinto`; empty when the decoder does not keep up."""
        # A line asks a hundred times a second, mostly when the buffer is empty.
        return self._view[self.count :] if self.count else self._view

    def commit(self, count):
        """Say that `count` bytes were written at the start of the last window."""
        self.count += count

    def feed(self, data):
        """Copy in as much of `data` as fits and return the number of bytes taken."""
        count = min(len(data), len(self.data) - self.count)
        self._view[self.count : self.count + count] = data[:count]
        self.count += count
        return count

    def drop(self, count):
        """Forget `count` bytes at the front."""
        data = self.data
        rest = self.count - count
        for index in range(rest):  # a slice would allocate
            data[index] = data[index + count]
        self.count = rest

    def find(self, byte, start=0):
        """Return the index of `byte` at or after `start`, or -1."""
        data = self.data
        for index in range(start, self.count):
            if data[index] == byte:
                return index
        return -1
