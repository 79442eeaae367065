"""A worker process: ``python -m slotring.worker --socket-fd N --seat-socket-fd N --module MODULE``.

The supervisor starts it and has the other end of the socket. Its life: join the pool, set up, be
published, serve until told to leave, tear down. It ends with

====  =========================================================================
0     drained, as the supervisor asked, or orphaned and out of patience
2     wrong arguments
3     set-up raised; the supervisor was told what
4     the pool cannot be joined
5     tear-down raised
75    there was no memory, or no descriptor, to join with; later there may be
143   SIGTERM: the running handler was interrupted, and tear-down was run
====  =========================================================================

Until it serves, and while it tears down, SIGTERM simply ends the process.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from slotring import _native, builtin, errors, lifetime, output, worker_sessions
from slotring.batches import BatchHandler
from slotring.coroutines import Coroutines
from slotring.methods import Method, collect
from slotring.sessions import Hooks

ATTACH_TIMEOUT_S = 60.0
ORPHAN_TIMEOUT_S = 60.0
ORPHAN_DRAIN_S = 5.0

PROFILES = ("single", "threads", "asyncio")

EXIT_SETUP_FAILED = 3
EXIT_NOT_JOINED = 4
EXIT_TEAR_DOWN_FAILED = 5
EXIT_SHORTAGE = os.EX_TEMPFAIL
SHORTAGES = (errors.ErrorCode.OUT_OF_MEMORY, errors.ErrorCode.SYSTEM_LIMIT)
EXIT_TERMINATED = 128 + signal.SIGTERM


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    output.capture()
    faulthandler.enable()  # a crash in native code leaves the Python stack on stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: for the supervisor to act on
    try:
        name = f"{options.pool}/{options.seat}"
        worker = _native.Worker(options.socket_fd, options.seat_socket_fd, name, ATTACH_TIMEOUT_S)
    except _native.Failure as failure:
        message, code = failure.args
        _log(f"cannot join the pool: {message}")
        return EXIT_SHORTAGE if code in SHORTAGES else EXIT_NOT_JOINED
    os.register_at_fork(after_in_child=worker.disown)
    tear_downs = contextlib.ExitStack()
    try:
        exit_code = _set_up_and_serve(worker, options, tear_downs)
    finally:
        torn_down = _tear_down(tear_downs)
    if exit_code == 0:
        worker.goodbye()
        return 0 if torn_down else EXIT_TEAR_DOWN_FAILED
    if any(thread.name.startswith("slotring-serve") for thread in threading.enumerate()):
        # In native code, which does not know that it was told to end; Python would wait for it.
        sys.stdout.flush()
        os._exit(exit_code)
    return exit_code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m slotring.worker", description=__doc__)
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--seat-socket-fd", type=int, default=-1)
    parser.add_argument("--module", required=True, help="the module whose handlers are served")
    parser.add_argument("--pool", default="?", help="the pool's name, for logs")
    parser.add_argument("--seat", default="?", help="the worker's seat, for logs")
    parser.add_argument("--session-store", default="memory", help="or sqlite:/absolute/path")
    parser.add_argument("--session-ttl-s", type=float, default=0.0, help="0: no end by itself")
    parser.add_argument("--orphan-timeout-s", type=float, default=ORPHAN_TIMEOUT_S)
    parser.add_argument("--profile", choices=PROFILES, default="single")
    parser.add_argument("--threads", type=int, default=0, help="with --profile threads")
    return parser.parse_args(arguments)


def _set_up_and_serve(
    worker: _native.Worker, options: argparse.Namespace, tear_downs: contextlib.ExitStack
) -> int:
    coroutines = Coroutines(tear_downs, lambda: worker.running)
    try:
        methods, sessions = _set_up(worker, options, tear_downs, coroutines)
    except BaseException as error:  # also a module that calls sys.exit()
        return _fail_setup(worker, error)
    # From here on the user's handlers of signals run while it serves, and at no other time: what
    # they raise must not end the worker. Threads that are started inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _signals_of_users())
    try:
        worker.publish(
            [m.served() for m in methods],
            f"{platform.python_implementation()} {platform.python_version()}",
            ATTACH_TIMEOUT_S,
        )
    except _native.Failure as failure:
        message, code = failure.args
        if code == errors.ErrorCode.POOL_DRAINING:
            return 0
        _log(f"was not published: {message}")
        return EXIT_NOT_JOINED
    server = _make_server(worker, options, sessions, coroutines)
    with _pulse(worker, server.cancel):
        return _serve(
            worker, server, [m.name for m in methods], sessions, options.orphan_timeout_s
        )


@contextlib.contextmanager
def _pulse(worker: _native.Worker, cancel: Callable[[int], bool]) -> Iterator[None]:
    """Tells handlers that their call was cancelled, and everybody that the interpreter runs."""
    thread = threading.Thread(
        target=worker.pulse, args=(cancel,), name="slotring-pulse", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        worker.end_pulse()
        thread.join()


def _set_up(
    worker: _native.Worker,
    options: argparse.Namespace,
    tear_downs: contextlib.ExitStack,
    coroutines: Coroutines,
) -> tuple[list[Method], worker_sessions.WorkerSessions]:
    # Before the module, which may want global values.
    store = worker_sessions.open_store(options.session_store)
    tear_downs.callback(store.close)
    hooks = Hooks()
    module = importlib.import_module(options.module)
    if options.profile == "threads":
        coroutines.serve_beside_others()
    if options.profile != "single":
        worker.share()
    methods = collect(module, tear_downs, coroutines, hooks)
    for method in methods:
        if isinstance(method.call, BatchHandler):
            method.call.bind(worker, options.profile == "threads")
    for method in methods:
        if method.name in builtin.NAMES:
            raise ValueError(f"every worker has a method {method.name!r}; choose another name")
    sessions = worker_sessions.WorkerSessions(worker, store, hooks, options.session_ttl_s)
    methods = builtin.make(worker, methods, sessions)
    lifetime.bind(lifetime.Ends(worker.stop, sessions.end))
    if len(methods) > _native.MAX_METHODS:
        raise ValueError(f"{len(methods)} methods, of at most {_native.MAX_METHODS}")
    return methods, sessions


def _fail_setup(worker: _native.Worker, error: BaseException) -> int:
    _, _, message, python_type, text = errors.describe(error)
    sys.stderr.write(text or f"{python_type}: {message}\n")
    try:
        worker.fail_setup(python_type, message, text)
    except _native.Failure as failure:
        _log(f"cannot tell the supervisor: {failure.args[0]}")
    return EXIT_SETUP_FAILED


class _Server(Protocol):
    """How a worker's calls are served: one of the profiles."""

    def serve(self) -> None:
        """Until the worker is to leave; raises what a handler of signals raises."""

    def cancel(self, key: int) -> bool:
        """As _native.Worker.pulse() wants it."""


class _OneThread:
    """The profile ``single``."""

    def __init__(
        self, worker: _native.Worker, cancel: Callable[[int], bool], sessions: Any
    ) -> None:
        self._worker = worker
        self._sessions = sessions
        self.cancel = cancel

    def serve(self) -> None:
        self._worker.serve()


def _make_server(
    worker: _native.Worker,
    options: argparse.Namespace,
    sessions: worker_sessions.WorkerSessions,
    coroutines: Coroutines,
) -> _Server:
    if options.profile == "threads":
        from slotring.threads import ThreadsServer

        return ThreadsServer(worker, max(options.threads, 1), sessions)
    if options.profile == "asyncio":
        from slotring.loop import LoopServer

        return LoopServer(worker, coroutines.loop, sessions)
    return _OneThread(worker, coroutines.cancel, sessions)


def _serve(
    worker: _native.Worker,
    server: _Server,
    names: list[str],
    sessions: worker_sessions.WorkerSessions,
    orphan_timeout_s: float,
) -> int:
    terminated = False

    def on_terminate(signal_number: int, frame: object) -> None:
        nonlocal terminated
        terminated = True
        worker.stop()
        raise errors.Terminated

    # A signal only sets a flag in Python: what it writes here makes the watching thread wake the
    # serving one, which waits in native code.
    wake_fd, signal_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(signal_fd, warn_on_full_buffer=False)
    threading.Thread(
        target=_watch, args=(worker, wake_fd, orphan_timeout_s), name="slotring-watch", daemon=True
    ).start()
    worker.prepare(errors.describe, errors.no_such_method(names), sessions)
    with contextlib.suppress(errors.Terminated):
        signal.signal(signal.SIGTERM, on_terminate)
        sessions.start()
        while not _served(server):
            pass
    with contextlib.suppress(errors.Terminated):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return EXIT_TERMINATED if terminated else 0


def _signals_of_users() -> set[signal.Signals]:
    return signal.valid_signals() - {signal.SIGTERM}


def _served(server: _Server) -> bool:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals_of_users())
        server.serve()
        signal.pthread_sigmask(signal.SIG_BLOCK, _signals_of_users())
        return True
    except Exception:  # by a signal's handler of the user's, between two calls
        traceback.print_exc()
        return False


def _watch(worker: _native.Worker, wake_fd: int, orphan_timeout_s: float) -> None:
    """Leaves when there is no supervisor for long, and no client that the worker would stay for.

    Calls go on without a supervisor: they do not pass through it. All of it works without the
    interpreter: a handler that never lets go of the GIL does not keep the next supervisor out.
    """
    worker.watch(wake_fd, orphan_timeout_s, True)
    _log(f"no supervisor and no client for {orphan_timeout_s:g} s; leaving")
    worker.drain()
    worker.watch(wake_fd, ORPHAN_DRAIN_S, False)
    worker.stop()  # some client holds a claim and does not use it
    worker.watch(wake_fd, None, False)  # signals still wake the serving thread


def _tear_down(tear_downs: contextlib.ExitStack) -> bool:
    try:
        tear_downs.close()
        return True
    except BaseException:
        traceback.print_exc()
        return False


def _log(message: str) -> None:
    sys.stderr.write(f"slotring: worker {os.getpid()}: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
