"""A template process: ``python -m slotring.template --socket-fd N --preload MODULE ...``.

It imports what the pool's workers would each import, once, and is then forked for each of them. The
supervisor starts it, says when to fork, and is the parent of what is forked
(``native/template.h``); a worker goes on here as if it had been started by
``python -m slotring.worker``.

A fork copies one thread and all memory. What another thread would have held, or a GPU's context,
does not come along; so the template refuses to be forked where it has either.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterable

from slotring import _native, output, worker

EXIT_REFUSED = 3
MAX_TOLD = 8192  # characters; all of it is on stderr


def main() -> int:
    options = _parse()
    output.capture()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: for the supervisor to act on
    threads = Threads()
    try:
        _import_for_profile(options.profile)
        for module in options.preload:
            _preload(module, threads)
        _native.settle_for_fork()
    except _CannotPreload as failed:
        _native.refuse_forks(options.socket_fd, str(failed)[:MAX_TOLD])
        return EXIT_REFUSED
    gc.collect()
    gc.freeze()  # a collection in a worker writes to no page that all of them share
    arguments = _native.fork_workers(options.socket_fd, threads.refusal)
    if arguments is None:
        return 0
    return _become_worker(arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m slotring.template", description=__doc__)
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--pool", default="?", help="the pool's name, for who lists processes")
    parser.add_argument("--profile", choices=worker.PROFILES, default="single")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE")
    return parser.parse_args()


class _CannotPreload(Exception):
    """Why no worker can be forked."""


def _import_for_profile(profile: str) -> None:
    """What a worker imports only where it needs it (worker.py)."""
    if profile == "threads":
        importlib.import_module("slotring.threads")
    elif profile == "asyncio":
        importlib.import_module("slotring.loop")


def _preload(module: str, threads: Threads) -> None:
    try:
        importlib.import_module(module)
    except BaseException as error:  # also a module that calls sys.exit()
        traceback.print_exc()
        raise _CannotPreload(
            f"cannot import {module!r}, of `preload`: {type(error).__name__}: {error}"
        ) from error
    threads.charge(module)


class Threads:
    """Those of the template besides its main one, and which module's import has started them."""

    def __init__(self) -> None:
        self._started_by = {thread: "the interpreter" for thread in _threads()}

    def charge(self, module: str) -> None:
        """Says that this module has started all that nobody was charged with."""
        for thread in _threads():
            self._started_by.setdefault(thread, module)

    def refusal(self) -> str | None:
        """Why the template is not to be forked now."""
        return self._of_threads(_threads()) or _of_gpu()

    def _of_threads(self, threads: Iterable[int]) -> str | None:
        if not threads:
            return None
        told = ", ".join(
            f"{_name_of(thread)!r} (started while {self._started_by[thread]!r} was imported)"
            if thread in self._started_by
            else f"{_name_of(thread)!r} (started after the imports)"
            for thread in threads
        )
        return (
            f"the template runs threads, which no worker forked from it would have: {told}; take "
            "the module out of `preload`, or keep it from starting them (for threads of OpenMP, "
            'OMP_NUM_THREADS = "1" in `env`)'
        )


def _threads() -> list[int]:
    """Native ones, too."""
    return [int(thread) for thread in os.listdir("/proc/self/task") if int(thread) != os.getpid()]


def _name_of(thread: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as name:
        return name.read().strip()
    return "?"


def _of_gpu() -> str | None:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    initialized = getattr(cuda, "is_initialized", None)
    if (initialized is not None and initialized()) or _holds_gpu():
        return (
            "the template has initialised CUDA, which no process forked from it could use; take "
            "the module that does so while it is imported out of `preload`, and let the workers' "
            "own module do it"
        )
    return None


def _holds_gpu() -> bool:
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("/dev/nvidia"):
                return True
    return False


def _become_worker(arguments: list[str]) -> int:
    sys.argv = [worker.__file__, *arguments]
    _reseed()
    return worker.main(arguments)


def _reseed() -> None:
    """Generators of random numbers that would go on alike in all workers. `random` does it by
    itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()


if __name__ == "__main__":
    sys.exit(main())
