"""Power cuts for what runs on a host: a forked child that is killed at one of its operations.

An operation is a statement or a commit of a database, and a file that is opened, synced or linked.
Counting them in a run that is not cut tells at how many moments a cut can come.
"""

import os
import signal
from collections.abc import Callable

import sqlalchemy as sa

from vitalkeep.hub.store import Store

Action = Callable[[Store], object]


def run_cut(url: str, action: Action, at: int) -> int:
    """Run an action in a child that is killed before its operation number `at`, from 0.

    action  is handed a store of its own; what it must not share with the parent it makes itself
    Returns how many operations there were when it ran to its end, -1 when it was killed
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            count = _run(url, action, at)
            os.write(writer, str(count).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return -1
    assert os.WEXITSTATUS(status) == 0, "the child failed before it was cut"
    return int(said)


def _run(url: str, action: Action, at: int) -> int:
    count = 0

    def step(*_: object) -> None:
        nonlocal count
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **named: object) -> object:
            step()
            return function(*arguments, **named)

        return wrapped

    store = Store(url)
    store.open()
    sa.event.listen(store.writer, "before_cursor_execute", step)
    sa.event.listen(store.writer, "commit", step)
    for name in ("open", "fsync", "link"):
        setattr(os, name, counted(getattr(os, name)))
    action(store)
    return count
