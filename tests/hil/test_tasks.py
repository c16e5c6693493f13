"""Tasks end when they are told to, even those that miss the first word."""

import asyncio

from hil.tasks import end_tasks


def test_task_that_swallows_its_cancellation_ends_all_the_same() -> None:
    async def stubborn(times: int) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                times -= 1
                if times < 0:
                    raise

    async def failing() -> None:
        raise ValueError

    async def story() -> None:
        tasks = [asyncio.create_task(stubborn(times)) for times in range(3)]
        failed = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await end_tasks([*tasks, failed])
        assert all(task.cancelled() for task in tasks)
        assert isinstance(failed.exception(), ValueError)
        await end_tasks(tasks)

    asyncio.run(story())
