"""The processes that share the endpoint of this one: started, given connections, and started again.

This process accepts every connection. All that come from one address go to one process, so that the
limits of an address, which each process counts for itself, hold over all of them; what counts
towards the limits of grants, they tell each other. While a process is started again, its addresses
are served here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.backoff import Backoff
from reconciler.errors import Retry
from reconciler.loops.jobs import first_of, sleep_unless
from reconciler.web.client_address import bucket_of
from reconciler.web.refusal_log import RefusalReason
from reconciler.web.server.work_report import count_reported
from reconciler.web.server.worker_process import WorkerProcess

if TYPE_CHECKING:
    import socket

    from reconciler.core.model.origin import Address
    from reconciler.enroll import Gateway
    from reconciler.web.limits import Limits
    from reconciler.web.server.certificate import ServerCertificate
    from reconciler.web.server.worker_process import Command

BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=30))
STEADY_S: Final = 30.0  # who has run for so long has started well
LOOK_EVERY_S: Final = 15.0
HUNG_S: Final = 20.0  # for an answer of its event loop; then it is killed, and no watchdog ends all

_log = logging.getLogger(__name__)


class ProcessPool:
    """The processes of an endpoint beside this one, which is the first: `count` in all."""

    def __init__(self, count: int, command: Command, limits: Limits, gateway: Gateway) -> None:
        self._count, self._command = count, command
        self._limits, self._gateway = limits, gateway
        gateway.grant_limits.tell = self._tell_taken
        self._processes: dict[int, WorkerProcess] = {}  # by number, from 1 on
        self._started = {number: asyncio.Event() for number in range(1, count)}

    @property
    def running(self) -> tuple[WorkerProcess, ...]:
        """The processes that run now, ready or not."""
        return tuple(self._processes.values())

    async def started(self) -> None:
        """Return when each process is ready, or has failed once."""
        for each in self._started.values():
            await each.wait()

    async def keep(self, certificate: ServerCertificate, stop: asyncio.Event) -> None:
        """Run the processes with the certificate until `stop` is set; then end them."""
        certificate.changed = self._certify
        async with asyncio.TaskGroup() as group:
            for number in self._started:
                group.create_task(self._keep(number, certificate, stop))

    def hand_over(self, connection: socket.socket, address: str, client: Address | None) -> bool:
        """Give a connection to the process of its client's address, unless that is this one."""
        bucket = bucket_of(address)
        process = self._process_of(bucket)
        if process is None:
            return False
        if not self._limits.allows_connection(address):
            connection.close()
        elif not process.give(connection, address, client):
            self._limits.refusals.count(RefusalReason.CONNECTIONS, bucket)
        return True

    async def require_ready(self) -> None:
        """Return once each process has answered.

        Raises:
            Retry: `unavailable`: a process is being started.
        """
        for number in self._started:
            process = self._processes.get(number)
            if process is None or not process.ready.is_set():
                raise Retry(
                    "unavailable", f"process {number + 1} of {self._count} is being started"
                )
            await process.answer()

    async def require_alive(self) -> None:
        """Return once each process that runs has answered."""
        for process in self.running:
            if process.ready.is_set():
                await process.answer()

    def _process_of(self, bucket: str) -> WorkerProcess | None:
        # Python seeds it for each process: nobody can choose addresses that share one
        process = self._processes.get(hash(bucket) % self._count)
        if process is None or not process.ready.is_set():
            return None
        # who came while its process was away stays here as long as it has a connection
        return None if self._limits.holds_connection(bucket) else process

    def _certify(self, pem: bytes) -> None:
        for process in self.running:
            process.certify(pem)

    def _tell_taken(self, kind: str, key: str, by: WorkerProcess | None = None) -> None:
        for process in self.running:
            if process is not by:
                process.tell_taken(kind, key)

    def _receive(self, process: WorkerProcess, message: list[Any]) -> None:
        match message:
            case ["work", work]:
                count_reported(work, self._gateway.telemetry)
            case ["taken", kind, key]:
                self._gateway.grant_limits.count(kind, key, time.monotonic())
                self._tell_taken(kind, key, process)

    async def _keep(self, number: int, certificate: ServerCertificate, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            began_s = time.monotonic()
            how = await self._run(number, certificate, stop)
            self._started[number].set()
            if stop.is_set():
                return
            if time.monotonic() - began_s > STEADY_S:
                failures = 0
            wait = BACKOFF.wait(failures)
            failures += 1
            _log.warning(
                "process %d of %d has ended (%s); it is started again in %.0f s, and its"
                " connections are served by the first",
                number + 1,
                self._count,
                how,
                wait.total_seconds(),
            )
            await sleep_unless(stop, wait)

    async def _run(self, number: int, certificate: ServerCertificate, stop: asyncio.Event) -> str:
        """Run a process until it ends, hangs, or `stop` is set; return how it ended."""
        try:
            process = WorkerProcess(self._command, self._receive)
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        self._processes[number] = process
        try:
            process.certify(certificate.pem)
            await first_of(process.ready, process.ended, stop)
            if process.ready.is_set():
                self._started[number].set()
            while not await first_of(process.ended, stop, timeout_s=LOOK_EVERY_S):
                try:
                    await asyncio.wait_for(process.answer(), HUNG_S)
                except TimeoutError:
                    _log.error("process %d of %d hangs: it is killed", number + 1, self._count)
                    process.kill()
                    break
        finally:
            how = await process.end()
            del self._processes[number]
        return how
