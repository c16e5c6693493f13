"""The stream half of asyncio, which this build lacks, on the world's sockets; and its clock.

The build's own asyncio (in C, with the tasks of every board) runs everything else. Its loop is
driven by JavaScript's timers; here `run.py` turns it, and the ticks are the world's.
"""

import asyncio
import socket
import time

core = asyncio.core


class Stream:
    """asyncio.Stream: reads wait for the far end, writes never wait."""

    def __init__(self, s, e={}):  # noqa: B006  as MicroPython's own
        self.s = s
        self.e = e
        self.out_buf = b""
        s.waiting = asyncio.Event()

    def get_extra_info(self, name):
        return self.e[name]

    async def readinto(self, buffer):
        while True:
            count = self.s.readinto(buffer)
            if count is not None:
                return count
            waiting = self.s.waiting
            waiting.clear()
            await waiting.wait()

    def write(self, data):
        if not self.out_buf:
            count = self.s.write(data)
            if count == len(data):
                return
            data = data[count or 0 :]
        self.out_buf += data

    async def drain(self):
        while self.out_buf:
            count = self.s.write(self.out_buf)
            self.out_buf = self.out_buf[count or 0 :]
            await asyncio.sleep_ms(1)

    def close(self):
        self.s.close()

    async def wait_closed(self):
        self.s.close()


class _Queue:
    """The loop's poll: a socket takes bytes at any time; who wants to read from one waits on."""

    def queue_write(self, s):
        core._task_queue.push(core.cur_task)

    def queue_read(self, s):
        core.cur_task.data = self

    def remove(self, task):
        pass


async def open_connection(host, port, ssl=None, server_hostname=None):
    s = socket.socket()
    s.setblocking(False)
    s.connect(socket.getaddrinfo(host, port)[0][-1])
    if ssl:
        s = ssl.wrap_socket(s, server_hostname=server_hostname, do_handshake_on_connect=False)
    await asyncio.sleep_ms(1)
    stream = Stream(s)
    return stream, stream


def install():
    """Complete the build's asyncio and give it the world's clock."""
    asyncio.Stream = asyncio.StreamReader = asyncio.StreamWriter = Stream
    asyncio.open_connection = open_connection
    asyncio.ThreadSafeFlag = asyncio.event.ThreadSafeFlag
    core._io_queue = _Queue()
    core._schedule_run_iter = _not_by_javascript
    core._task_queue = core.TaskQueue()
    core.ticks = asyncio.ticks = time.ticks_ms


def _not_by_javascript(wait_ms):
    pass


def next_ms():
    """Return in how many milliseconds the loop has something to do; None for never."""
    task = core._task_queue.peek()
    return None if task is None else max(0, time.ticks_diff(task.ph_key, time.ticks_ms()))


def turn():
    """Run every task that is due."""
    core._run_iter()
