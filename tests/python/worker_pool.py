"""Real worker processes on a pool without a supervisor, and calls to them.

    with WorkerPool(folder) as pool:
        pool.start_worker("import slotring ...")
        assert pool.call("echo", b"hi") == b"hi"

Leaving the block drains the worker and fails when it does not end well. Nothing here sleeps: each
wait is for a condition, with a watchdog.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import slotring_harness
from payloads import TABLE, TableBytes, as_payload, from_payload
from slotring import _native

WATCHDOG_S = 30.0


class CallFailed(Exception):
    """A call ended with an error."""

    def __init__(self, code: str, message: str, python_type: str, traceback: str, retryable: bool):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.python_type = python_type
        self.traceback = traceback
        self.retryable = retryable


@contextlib.contextmanager
def failing_as_call_failed() -> Iterator[None]:
    """What the harness raises in the block is raised as CallFailed."""
    try:
        yield
    except slotring_harness.CallFailed as failure:
        raise CallFailed(*failure.args) from None


def wait_until(condition, what: str = "condition") -> None:
    """Looks at ``condition`` until it holds."""
    deadline = time.monotonic() + WATCHDOG_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for: {what}")
        os.sched_yield()


class Worker:
    """A worker process, this end of its socket, and what it has printed."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        seat: int,
        generation: int,
    ):
        self.process = process
        self.control = control
        self.seat = seat
        self.generation = generation
        self.outcome: tuple[Any, ...] = ()
        self.exit_checked = False
        self._texts = {"stdout": b"", "stderr": b""}
        self._readers: list[threading.Thread] = []

    def read_output(self) -> None:
        for name in self._texts:
            reader = threading.Thread(target=self._read, args=(name,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, name: str) -> None:
        pipe = getattr(self.process, name)
        while data := pipe.read1(65536):
            self._texts[name] += data

    @property
    def stdout(self) -> str:
        return self._texts["stdout"].decode()

    @property
    def stderr(self) -> str:
        return self._texts["stderr"].decode()

    def wait(self) -> int:
        """Waits for its end; returns its exit code, or minus the signal."""
        code = self.process.wait(WATCHDOG_S)
        for reader in self._readers:
            reader.join(WATCHDOG_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(WATCHDOG_S)
        self.control.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class WorkerPool:
    """A pool, with the workers of each seat one after another."""

    def __init__(
        self,
        folder: Path,
        slots: int = 2,
        area_bytes: int = 1 << 20,
        warm_bytes: int = 1 << 16,
        seats: int = 1,
    ):
        self.folder = folder
        self.harness = slotring_harness.Pool(slots, area_bytes, warm_bytes, seats)
        self.workers: list[Worker] = []

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, exception_type: object, *_: object) -> None:
        try:
            # The last one of each seat.
            for worker in {w.seat: w for w in self.workers}.values():
                if exception_type is None and not worker.exit_checked:
                    self.end_worker(worker)
        finally:
            for worker in self.workers:
                if exception_type is not None:
                    sys.stderr.write(worker.stderr)
                worker.close()

    @property
    def worker(self) -> Worker:
        return self.workers[-1]

    def launch(
        self, source: str, *arguments: str, read_output: bool = True, seat: int = 0
    ) -> Worker:
        """Starts a worker of a module with this source, up to its joining the pool."""
        generation = sum(worker.seat == seat for worker in self.workers) + 1
        module = f"user_module_{generation}" if seat == 0 else f"user_module_{seat}_{generation}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = Path(_native.__file__).parent.parent
        environment = os.environ | {"PYTHONPATH": f"{package}:{self.folder}"}
        fd = theirs.fileno()
        command = [sys.executable, "-m", "slotring.worker", "--socket-fd", str(fd)]
        command += ["--module", module, "--pool", "local", "--seat", str(seat), *arguments]
        with theirs:
            process = subprocess.Popen(
                command,
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )
        worker = Worker(process, ours, seat, generation)
        self.workers.append(worker)
        if read_output:
            worker.read_output()
        self.harness.welcome(ours.fileno(), seat, generation)
        return worker

    def start_worker(
        self, source: str, *arguments: str, read_output: bool = True, seat: int = 0
    ) -> Worker:
        """Starts a worker and publishes it; the test fails when it cannot be set up."""
        worker = self.launch(source, *arguments, read_output=read_output, seat=seat)
        self.publish()
        assert worker.outcome[0] == "ready", worker.outcome
        return worker

    def publish(self) -> None:
        """Answers Ready, or takes SetupFailed: see the worker's ``outcome``."""
        worker = self.worker
        worker.outcome = self.harness.publish(
            worker.control.fileno(), worker.seat, worker.generation
        )

    def end_worker(self, worker: Worker | None = None) -> None:
        """Drains the worker, if it lives, and checks that it ends well. The last one by default."""
        worker = worker or self.worker
        if worker.process.poll() is None:
            self.drain(worker)
        self.expect_exit(0, worker)

    def kill_worker(self, worker: Worker | None = None) -> None:
        worker = worker or self.worker
        worker.process.kill()
        self.expect_exit(-signal.SIGKILL, worker)

    def expect_exit(self, expected: int, worker: Worker | None = None) -> None:
        """Waits for the worker's end and checks its exit code."""
        worker = worker or self.worker
        code = worker.wait()
        assert code == expected, f"exit {code}: {worker.stderr}"
        worker.exit_checked = True

    def is_idle(self) -> bool:
        """Whether all slots of the first seat are free."""
        return all(state == "free" for state in self.harness.states())

    def drain(self, worker: Worker | None = None) -> None:
        worker = worker or self.worker
        self.harness.drain(worker.control.fileno(), worker.seat)

    def call_in(
        self,
        session: str,
        method: str,
        payload: Any = None,
        *,
        seat: int = 0,
        timeout_s: float = WATCHDOG_S,
    ) -> Any:
        """Calls in a session, at the worker of this seat, and waits."""
        return self.finish_in(self.start_in(session, method, payload, seat, timeout_s))

    def start_in(
        self,
        session: str,
        method: str,
        payload: Any = None,
        seat: int = 0,
        timeout_s: float = WATCHDOG_S,
    ) -> int:
        kind, data = as_payload(payload)
        with failing_as_call_failed():
            return self.harness.start_in_session(seat, session, method, kind, data, timeout_s)

    def finish_in(self, slot: int) -> Any:
        with failing_as_call_failed():
            return from_payload(*self.harness.finish_in_session(slot))

    def call(self, method: str, payload: Any = None, *, timeout_s: float = WATCHDOG_S) -> Any:
        """Calls and waits. bytes go as bytes, None as nothing, all else as a value."""
        return self.finish(self.start(method, payload, timeout_s=timeout_s))

    def start(self, method: str, payload: Any = None, *, timeout_s: float = WATCHDOG_S) -> int:
        if isinstance(payload, TableBytes):
            with failing_as_call_failed():
                return self.harness.start(
                    method, TABLE, payload.data, timeout_s, payload.type_name
                )
        return self.start_raw(method, *as_payload(payload), timeout_s=timeout_s)

    def start_raw(
        self, method: str, kind: int, data: bytes, *, timeout_s: float = WATCHDOG_S
    ) -> int:
        with failing_as_call_failed():
            return self.harness.start(method, kind, data, timeout_s)

    def start_tensors(
        self, method: str, tensors: list[tuple[str, tuple[int, ...], bytes, str]], value: Any = None
    ) -> int:
        """Sends tensors, each (dtype, shape, elements, name), and maybe a value beside them."""
        encoded = b"" if value is None else _native.to_flexbuffers(value)
        with failing_as_call_failed():
            return self.harness.start_tensors(method, tensors, encoded, WATCHDOG_S)

    def finish(self, ticket: int) -> Any:
        with failing_as_call_failed():
            return from_payload(*self.harness.finish(ticket))

    def stream(
        self,
        method: str,
        payload: Any = None,
        *,
        timeout_s: float = WATCHDOG_S,
        window_bytes: int = 64 << 10,
    ) -> StreamOfItems:
        kind, data = as_payload(payload)
        with failing_as_call_failed():
            ticket = self.harness.start_stream(method, kind, data, timeout_s, window_bytes)
        return StreamOfItems(self.harness, ticket)

    def tool(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Makes a function a tool of the calls that are started later. As a decorator."""

        def run(kind: int, data: bytes) -> tuple[int, bytes]:
            return as_payload(function(from_payload(kind, data)))

        self.harness.add_tool(function.__name__, run)
        return function

    def mirror(self, name: str, method: str = "") -> None:
        """A tool that answers what it is given, or what `method` makes of it in a nested call."""
        self.harness.add_mirror(name, method)

    def nested(self, method: str, payload: Any = None, *, timeout_s: float = WATCHDOG_S) -> Any:
        """A call that a tool makes, inside the call that asked it."""
        with failing_as_call_failed():
            return from_payload(*self.harness.nested(method, *as_payload(payload), timeout_s))


class StreamOfItems:
    """The items of a call's stream, and then its outcome."""

    def __init__(self, harness: Any, ticket: int) -> None:
        self._harness = harness
        self._ticket = ticket

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with failing_as_call_failed():
            item = self._harness.next_item(self._ticket)
        if item is None:
            raise StopIteration
        return from_payload(*item)

    def finish(self) -> Any:
        with failing_as_call_failed():
            return from_payload(*self._harness.finish_stream(self._ticket))

    def drop(self) -> None:
        self._harness.drop_stream(self._ticket)

    def write(self, item: Any) -> None:
        with failing_as_call_failed():
            self._harness.write_item(self._ticket, *as_payload(item))

    def write_floats(self, data: bytes, columns: int) -> None:
        """Writes the float32 tensor that is the transpose of so many columns."""
        with failing_as_call_failed():
            self._harness.write_floats(self._ticket, data, columns)

    def finish_writing(self) -> None:
        with failing_as_call_failed():
            self._harness.finish_writing(self._ticket)
