"""Standard output and error of a worker: pipes to a supervisor that may be slow, stopped or gone.

Guarantee: writing never raises and, but for a moment once, never blocks; what cannot be written is
dropped and counted, and the count is written as soon as something can be. Nothing printed can reach
a frame: replies go through shared memory only.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys

_PATIENCE_MS = 50


def capture() -> None:
    """Puts such writers in the place of sys.stdout and sys.stderr."""
    sys.stdout = sys.__stdout__ = _text_writer(1)
    sys.stderr = sys.__stderr__ = _text_writer(2)


def _text_writer(fd: int) -> io.TextIOWrapper:
    # Straight on the descriptor: a buffer between them has a lock, on which a print in a signal's
    # handler fails.
    return io.TextIOWrapper(
        LossyWriter(fd),  # type: ignore[arg-type]
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


class LossyWriter(io.RawIOBase):
    """Writes to a descriptor what it takes, and drops the rest."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.dropped_bytes = 0
        try:
            # Also for those that write to the descriptor themselves, such as C libraries. It is the
            # worker's own pipe; anything else (a terminal, a file) may be shared, and is left
            # alone.
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)
        except OSError:  # closed: everything is dropped
            pass

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def, override]
        """Takes all of ``data``, a bytes-like object, whatever becomes of it."""
        left = memoryview(data).cast("B")
        size = len(left)
        if self.dropped_bytes:
            note = b"\n[slotring: %d bytes of output were dropped here]\n" % self.dropped_bytes
            # A pipe takes up to PIPE_BUF bytes whole or not at all: no note without what comes
            # next.
            together = note + bytes(left[: select.PIPE_BUF - len(note)])
            if not self._try_write(together):
                self.dropped_bytes += size
                return size
            self.dropped_bytes = 0
            left = left[len(together) - len(note) :]
        while left:
            written = self._try_write(left)
            if not written and not self._wait():
                self.dropped_bytes += len(left)
                break
            left = left[written:]
        return size

    def _try_write(self, data: memoryview | bytes) -> int:
        try:
            return os.write(self._fd, data)
        except OSError:  # full, closed, or nobody reads any more
            return 0

    def _wait(self) -> bool:
        """Gives a slow reader a moment. Once: after a drop, write() no longer gets here."""
        poll = select.poll()
        try:
            poll.register(self._fd, select.POLLOUT)
            return any(event == select.POLLOUT for _, event in poll.poll(_PATIENCE_MS))
        except (OSError, ValueError):
            return False
