"""The Python SDK as a process: one JSON request per line in, one JSON answer per line out, in any order.

A request is {"call", "do", ...arguments}; its answer is {"call", "answer"} or {"call", "error"}. The operations are the methods
of `Driver`. The TypeScript driver speaks the same protocol. Ends when its input does.
"""

import asyncio
import json
import os
import sys
import traceback
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import activities
import workflows
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import AsyncActivityHandle, Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
)
from temporalio.service import TLSConfig
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker


def tls() -> TLSConfig | bool:
    """What the environment says, in the variables of the published CLI."""

    def read(variable: str) -> bytes | None:
        path = os.environ.get(variable)
        return Path(path).read_bytes() if path else None

    authority = read("TEMPORAL_TLS_SERVER_CA_CERT_PATH")
    if authority is None:
        return False
    return TLSConfig(
        server_root_ca_cert=authority,
        client_cert=read("TEMPORAL_TLS_CLIENT_CERT_PATH"),
        client_private_key=read("TEMPORAL_TLS_CLIENT_KEY_PATH"),
        domain=os.environ.get("TEMPORAL_TLS_SERVER_NAME"),
    )



class Driver:
    """Clients and workers by address."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    async def client(self, address: str) -> Client:
        if address not in self.clients:
            self.clients[address] = await Client.connect(address, tls=tls())
        return self.clients[address]

    async def handle(self, address: str, id: str) -> WorkflowHandle[Any, Any]:
        return (await self.client(address)).get_workflow_handle(id)

    async def work(self, name: str, address: str, queue: str, cache: int = 100) -> None:
        """Start the worker `name` on a queue of the server at `address`."""
        worker = Worker(
            await self.client(address),
            task_queue=queue,
            workflows=workflows.ALL,
            activities=activities.ALL,
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=cache,
        )
        self.workers[name] = (worker, asyncio.create_task(worker.run()))

    async def stop(self, name: str) -> None:
        worker, running = self.workers.pop(name)
        await worker.shutdown()
        await running

    async def start(
        self,
        address: str,
        queue: str,
        id: str,
        workflow: str,
        args: list[Any],
        timeout: int | None = None,
        reuse: str | None = None,
        conflict: str | None = None,
        signal: str | None = None,
    ) -> str | None:
        """Start a workflow, with `signal` by signal-with-start; answers the run id."""
        handle = await (await self.client(address)).start_workflow(
            workflow,
            args=args,
            id=id,
            task_queue=queue,
            execution_timeout=timedelta(milliseconds=timeout) if timeout else None,
            id_reuse_policy=WorkflowIDReusePolicy[reuse or "ALLOW_DUPLICATE"],
            id_conflict_policy=WorkflowIDConflictPolicy[conflict or "UNSPECIFIED"],
            start_signal=signal,
        )
        return handle.first_execution_run_id

    async def result(self, address: str, id: str) -> Any:
        """The result of a workflow, or {"failure": how it ended}."""
        try:
            return await (await self.handle(address, id)).result()
        except WorkflowFailureError as error:
            return {"failure": told(error.cause)}

    async def signal(self, address: str, id: str, name: str, args: list[Any]) -> None:
        await (await self.handle(address, id)).signal(name, args=args)

    async def query(self, address: str, id: str, name: str) -> Any:
        return await (await self.handle(address, id)).query(name)

    async def cancel(self, address: str, id: str) -> None:
        await (await self.handle(address, id)).cancel()

    async def terminate(self, address: str, id: str) -> None:
        await (await self.handle(address, id)).terminate("by the test")

    async def reset(self, address: str, id: str, event: int) -> str:
        """Reset the current run to an event; answers the run that this makes."""
        request = ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=id),
            reason="by the test",
            workflow_task_finish_event_id=event,
            request_id=str(uuid.uuid4()),
        )
        return (await (await self.client(address)).workflow_service.reset_workflow_execution(request)).run_id

    async def replay(self, address: str, id: str) -> None:
        """Replay the history that the server at `address` itself has of the current run."""
        history = await (await self.handle(address, id)).fetch_history(rpc_metadata={"xdc-redirection": "false"})
        replayer = Replayer(workflows=workflows.ALL, workflow_runner=UnsandboxedWorkflowRunner())
        await replayer.replay_workflow(history)

    async def status(self, address: str, id: str) -> str:
        description = await (await self.handle(address, id)).describe()
        return description.status.name if description.status else "NONE"

    async def pending(self, address: str, id: str) -> list[str]:
        """The ids of the pending activities that are with a worker."""
        description = await (await self.handle(address, id)).describe()
        pending = description.raw_description.pending_activities
        return [activity.activity_id for activity in pending if activity.HasField("last_started_time")]

    async def complete_activity(self, address: str, id: str, activity: str, result: Any) -> None:
        await (await self.activity(address, id, activity)).complete(result)

    async def activity(self, address: str, id: str, activity: str) -> AsyncActivityHandle:
        client = await self.client(address)
        return client.get_async_activity_handle(workflow_id=id, run_id=None, activity_id=activity)

    async def replay(self, address: str, id: str) -> None:
        """Replay the history of a workflow; fails if the workflow would have done anything else."""
        history = await (await self.handle(address, id)).fetch_history()
        replayer = Replayer(workflows=workflows.ALL, workflow_runner=UnsandboxedWorkflowRunner())
        await replayer.replay_workflow(history)

    async def list(self, address: str, query: str) -> list[str]:
        return [execution.id async for execution in (await self.client(address)).list_workflows(query)]

    async def count(self, address: str, query: str) -> int:
        return (await (await self.client(address)).count_workflows(query)).count

    async def open_gate(self, gate: str) -> None:
        activities.gates[gate].set()


def told(failure: BaseException | None) -> str:
    """A failure and its causes in words that are the same for every SDK."""
    match failure:
        case ActivityError():
            return f"activity: {told(failure.cause)}"
        case ApplicationError():
            return f"application {failure.type}: {failure.message}"
        case TimeoutError():
            return f"timeout {failure.type.name if failure.type else None}"
        case CancelledError():
            return "canceled"
        case TerminatedError():
            return "terminated"
        case _:
            return repr(failure)


async def answer(driver: Driver, request: dict[str, Any]) -> dict[str, Any]:
    call, do = request.pop("call"), request.pop("do")
    try:
        return {"call": call, "answer": await getattr(driver, do)(**request)}
    except WorkflowAlreadyStartedError:
        return {"call": call, "error": "already started"}
    except Exception:
        return {"call": call, "error": traceback.format_exc()}


async def main() -> None:
    driver = Driver()
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def serve(line: bytes) -> None:
        print(json.dumps(await answer(driver, json.loads(line))), flush=True)

    serving = set()
    while line := await lines.readline():
        task = asyncio.create_task(serve(line))
        serving.add(task)
        task.add_done_callback(serving.discard)


if __name__ == "__main__":
    asyncio.run(main())
