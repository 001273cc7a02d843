"""Activities that the scenarios of the tests run. The TypeScript side has the same ones under the same names."""

import asyncio
from collections import defaultdict

from temporalio import activity
from temporalio.exceptions import ApplicationError

gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""What `gated` waits for; the driver's operation `open_gate` opens them."""


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
async def fail_until(attempt: int) -> int:
    """Fails until the given attempt, whose number it answers."""
    if activity.info().attempt < attempt:
        raise ApplicationError(f"attempt {activity.info().attempt}", type="TooEarly")
    return activity.info().attempt


@activity.defn
async def fail_for_good() -> None:
    raise ApplicationError("no use trying again", type="Hopeless", non_retryable=True)


@activity.defn
async def remember() -> list[str]:
    """Heartbeats at its first attempt, then fails; its second attempt answers what it was told of the first."""
    if activity.info().attempt == 1:
        activity.heartbeat("half", "way")
        raise ApplicationError("retry me", type="Retry")
    return list(activity.info().heartbeat_details)


@activity.defn
async def hang() -> None:
    """Never ends by itself, never heartbeats."""
    await asyncio.Event().wait()


@activity.defn
async def heartbeat_until_cancelled() -> str:
    try:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return "noticed"


@activity.defn
async def complete_elsewhere() -> str:
    activity.raise_complete_async()


@activity.defn
async def gated(gate: str) -> str:
    await gates[gate].wait()
    return f"through {gate}"


ALL = [
    greet,
    fail_until,
    fail_for_good,
    remember,
    hang,
    heartbeat_until_cancelled,
    complete_elsewhere,
    gated,
]
