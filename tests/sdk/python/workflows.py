"""Workflows that the scenarios of the tests run. The TypeScript side has the same ones under the same names."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import activities

MINUTE = timedelta(minutes=1)
QUICKLY = RetryPolicy(initial_interval=timedelta(milliseconds=10), backoff_coefficient=1.0)
ONCE = RetryPolicy(maximum_attempts=1)


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(activities.greet, name, start_to_close_timeout=MINUTE)


@workflow.defn
class Counter:
    """Adds what signals bring until one says that it is enough."""

    def __init__(self) -> None:
        self.sum = 0
        self.finished = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.finished)
        return self.sum

    @workflow.signal
    def add(self, number: int) -> None:
        self.sum += number

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def total(self) -> int:
        return self.sum


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, milliseconds: int) -> str:
        await asyncio.sleep(milliseconds / 1000)
        return "awake"


@workflow.defn
class Race:
    """A timer that is cancelled because another fires first."""

    @workflow.run
    async def run(self) -> str:
        slow = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0.01)
        slow.cancel()
        return "the short timer"


@workflow.defn
class Chain:
    """Continues as new until the number is zero; answers how many runs there were."""

    @workflow.run
    async def run(self, left: int, runs: int) -> int:
        if left == 0:
            return runs + 1
        workflow.continue_as_new(args=[left - 1, runs + 1])


@workflow.defn
class Retrying:
    @workflow.run
    async def run(self, attempt: int) -> int:
        return await workflow.execute_activity(
            activities.fail_until, attempt, start_to_close_timeout=MINUTE, retry_policy=QUICKLY
        )


@workflow.defn
class Hopeless:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(activities.fail_for_good, start_to_close_timeout=MINUTE)


@workflow.defn
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("out of order", type="OutOfOrder")


@workflow.defn
class Remembering:
    @workflow.run
    async def run(self) -> list[str]:
        return await workflow.execute_activity(
            activities.remember, start_to_close_timeout=MINUTE, heartbeat_timeout=MINUTE, retry_policy=QUICKLY
        )


@workflow.defn
class Hanging:
    """One attempt of an activity that hangs (or that nobody takes), with the timeouts given in milliseconds."""

    @workflow.run
    async def run(self, timeouts: dict[str, int], queue: str) -> None:
        await workflow.execute_activity(
            activities.hang,
            task_queue=queue or None,
            retry_policy=ONCE,
            **{name: timedelta(milliseconds=value) for name, value in timeouts.items()},
        )


@workflow.defn
class Cancelling:
    """Cancels its own activity once it was told that it runs, and answers what the activity said."""

    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def cancel_it(self) -> None:
        self.told = True

    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_activity(
            activities.heartbeat_until_cancelled,
            start_to_close_timeout=MINUTE,
            heartbeat_timeout=timedelta(seconds=2),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self.told)
        handle.cancel()
        return await handle


@workflow.defn
class Stubborn:
    """Runs an activity of its own while it is being cancelled, then obeys."""

    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            await workflow.execute_activity(activities.greet, "cleanup", start_to_close_timeout=MINUTE)
            raise


@workflow.defn
class Elsewhere:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            activities.complete_elsewhere, activity_id="elsewhere", start_to_close_timeout=MINUTE
        )


@workflow.defn
class Local:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_local_activity(activities.greet, name, start_to_close_timeout=MINUTE)


@workflow.defn
class Gated:
    @workflow.run
    async def run(self, gate: str) -> str:
        return await workflow.execute_activity(
            activities.gated, gate, start_to_close_timeout=timedelta(seconds=10), retry_policy=QUICKLY
        )


@workflow.defn
class Journey:
    """What a failover interrupts: two activities, one of them retrying, a timer, a signal and a query."""

    def __init__(self) -> None:
        self.at = "leaving"
        self.ticket: str | None = None

    @workflow.signal
    def board(self, ticket: str) -> None:
        self.ticket = ticket

    @workflow.query
    def place(self) -> str:
        return self.at

    @workflow.run
    async def run(self, name: str) -> str:
        greeting = await workflow.execute_activity(activities.greet, name, start_to_close_timeout=MINUTE)
        self.at = "platform"
        await workflow.wait_condition(lambda: self.ticket is not None)
        self.at = "train"
        await asyncio.sleep(0.1)
        attempt = await workflow.execute_activity(
            activities.fail_until, 3, start_to_close_timeout=MINUTE, retry_policy=QUICKLY
        )
        self.at = "arrived"
        return f"{greeting} Ticket {self.ticket}, attempt {attempt}"


ALL = [
    Greeting,
    Counter,
    Sleeper,
    Race,
    Chain,
    Retrying,
    Hopeless,
    Broken,
    Remembering,
    Hanging,
    Cancelling,
    Stubborn,
    Elsewhere,
    Local,
    Gated,
    Journey,
]
