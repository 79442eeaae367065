"""A worker's life: set-up, its failures, drain, signals, and a supervisor that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from worker_pool import WATCHDOG_S, CallFailed, WorkerPool, wait_until

LIVELY = """
    import sys
    import time
    import slotring

    running = False

    @slotring.setup
    def begin():
        print("set up", flush=True)

    @slotring.handler
    def echo(request):
        return request

    @slotring.handler
    def forever(request):
        print("started", flush=True)
        while True:
            time.sleep(0.001)  # TSan delivers signals at calls like this only

    @slotring.handler
    def stubborn(request):
        try:
            print("started", flush=True)
            while True:
                time.sleep(0.001)
        except BaseException:
            return "finished anyway"

    @slotring.teardown
    def end():
        print("torn down", flush=True)
"""


def fail_to_set_up(pool: WorkerPool, source: str):
    """Runs a worker that cannot be set up; its ("setup_failed", type, message, traceback)."""
    worker = pool.launch(source)
    pool.publish()
    pool.expect_exit(3)
    return worker.outcome


@pytest.mark.parametrize(
    "source, python_type, message",
    [
        ("import no_such_module_at_all", "ModuleNotFoundError", "no_such_module_at_all"),
        ("1 +", "SyntaxError", "invalid syntax"),
        ("raise ValueError('bad model')", "ValueError", "bad model"),
        ("import sys; sys.exit('I leave')", "SystemExit", "I leave"),
        (
            "import slotring\n@slotring.setup\ndef load(): raise OSError(2, 'no weights')",
            "FileNotFoundError",
            "no weights",
        ),
        (
            "import slotring\n@slotring.handler\ndef ping(request): ...",
            "ValueError",
            "every worker has a method 'ping'",
        ),
        (
            "import slotring\n@slotring.service\nclass S:\n    def __init__(self): 1 / 0",
            "ZeroDivisionError",
            "division by zero",
        ),
    ],
)
def test_a_set_up_that_fails_is_told_with_its_traceback(pool, source, python_type, message):
    outcome = fail_to_set_up(pool, source)
    assert outcome[:2] == ("setup_failed", python_type)
    assert message in outcome[2]
    assert python_type in outcome[3] and python_type in pool.worker.stderr
    assert "slotring/worker.py" not in outcome[3] and "importlib" not in outcome[3]


def test_drain_serves_what_is_requested_then_says_goodbye(pool):
    worker = pool.start_worker(LIVELY)
    os.kill(worker.process.pid, signal.SIGSTOP)
    tickets = [pool.start("echo", b"1"), pool.start("echo", b"2")]
    pool.drain()
    os.kill(worker.process.pid, signal.SIGCONT)
    assert [pool.finish(ticket) for ticket in tickets] == [b"1", b"2"]
    assert pool.harness.receive(worker.control.fileno()) == "Goodbye"
    pool.expect_exit(0)
    assert worker.stdout == "set up\ntorn down\n"


def test_a_reply_that_nobody_has_read_yet_does_not_hold_up_a_drain(pool):
    worker = pool.start_worker(LIVELY)
    ticket = pool.start("echo", b"unread")
    wait_until(lambda: "replied" in pool.harness.states(), "the reply")
    pool.drain()
    pool.expect_exit(0)
    assert pool.finish(ticket) == b"unread"


def test_sigterm_interrupts_the_running_handler_and_tears_down(pool):
    worker = pool.start_worker(LIVELY)
    ticket = pool.start("forever")
    wait_until(lambda: "started" in worker.stdout, "the handler")
    os.kill(worker.process.pid, signal.SIGTERM)
    with pytest.raises(CallFailed) as failed:
        pool.finish(ticket)
    assert failed.value.code == "WORKER_LOST" and "SIGTERM" in failed.value.message
    pool.expect_exit(143)
    assert worker.stdout.endswith("torn down\n")


def test_sigterm_ends_a_worker_whose_handler_swallows_it(pool):
    worker = pool.start_worker(LIVELY)
    ticket = pool.start("stubborn")
    wait_until(lambda: "started" in worker.stdout, "the handler")
    os.kill(worker.process.pid, signal.SIGTERM)
    assert pool.finish(ticket) == "finished anyway"
    pool.expect_exit(143)


def test_sigterm_wakes_a_sleeping_worker(pool):
    worker = pool.start_worker(LIVELY)
    pool.call("echo", b"serves")
    wait_until(lambda: sleeping(worker.process.pid), "the worker to sleep")
    os.kill(worker.process.pid, signal.SIGTERM)
    pool.expect_exit(143)
    assert worker.stdout.endswith("torn down\n")


def test_sigint_is_ignored(pool):
    worker = pool.start_worker(LIVELY)
    os.kill(worker.process.pid, signal.SIGINT)
    assert pool.call("echo", b"still here") == b"still here"


def test_a_signal_handler_of_the_user_that_raises_does_not_end_the_worker(pool):
    worker = pool.start_worker(
        LIVELY
        + """
    import signal

    def complain(number, frame):
        raise RuntimeError("from a signal")

    signal.signal(signal.SIGUSR1, complain)
"""
    )
    pool.call("echo", b"serves")
    wait_until(lambda: sleeping(worker.process.pid), "the worker to sleep")
    os.kill(worker.process.pid, signal.SIGUSR1)
    wait_until(lambda: "RuntimeError: from a signal" in worker.stderr, "the complaint")
    assert pool.call("echo", b"on") == b"on"


def test_an_idle_worker_uses_no_cpu(pool):
    worker = pool.start_worker(LIVELY)
    pool.call("echo", b"1")
    wait_until(lambda: sleeping(worker.process.pid), "the worker to sleep")
    before = cpu_ticks(worker.process.pid)
    switches = context_switches(worker.process.pid)
    deadline = time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > deadline, "half a second")
    assert cpu_ticks(worker.process.pid) - before <= 1
    assert context_switches(worker.process.pid) == switches


def test_without_its_supervisor_a_worker_serves_on_until_its_patience_ends(pool):
    worker = pool.start_worker(LIVELY, "--orphan-timeout-s", "0.3")
    worker.control.close()
    assert pool.call("echo", b"orphan") == b"orphan"
    pool.expect_exit(0)
    assert "no supervisor and no client for 0.3 s; leaving" in worker.stderr
    assert worker.stdout.endswith("torn down\n")


def test_a_tear_down_that_raises_is_reported(pool):
    worker = pool.start_worker(
        """
        import slotring

        @slotring.teardown
        def end():
            raise RuntimeError("cannot close")
        """
    )
    pool.drain()
    pool.expect_exit(5)
    assert "RuntimeError: cannot close" in worker.stderr


@pytest.mark.parametrize(
    "arguments, exit_code",
    [([], 2), (["--socket-fd", "0", "--module", "m", "--what"], 2)]
    + [(["--socket-fd", "9", "--module", "m"], 4)],
)
def test_a_worker_that_cannot_start_says_so(arguments, exit_code):
    worker = subprocess.run(
        [sys.executable, "-m", "slotring.worker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WATCHDOG_S,
        text=True,
    )
    assert worker.returncode == exit_code
    assert "slotring" in worker.stderr


def sleeping(pid: int) -> bool:
    """Whether all threads of a process sleep in the kernel."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def context_switches(pid: int) -> str:
    """Of the main thread: sanitizers have threads of their own."""
    with open(f"/proc/{pid}/status") as status:
        return next(line for line in status if line.startswith("voluntary_ctxt"))
