"""Prints, logging, raw writes: captured while somebody reads, harmless when nobody does."""

from __future__ import annotations

import os

import pytest

from slotring.output import LossyWriter
from worker_pool import wait_until

PRINTER = """
    import logging
    import os
    import subprocess
    import sys
    import warnings
    import slotring

    print("in set-up")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

    @slotring.handler
    def speak(request):
        print("printed", request)
        print("no newline yet", end="")
        logging.info("logged %s", request)
        warnings.warn("warned")
        os.write(1, b"raw bytes \\xff\\n")
        os.write(2, b"raw error bytes\\n")
        sys.stdout.buffer.write(b"by the buffer\\n")
        subprocess.run(["echo", "from a child"], env={"PATH": os.defpath})
        return request

    @slotring.handler
    def say(request):
        print("printed", request)
        print("and an error", file=sys.stderr)
        logging.error("logged")
        sys.stdout.flush()
        return request

    @slotring.handler
    def flood(request):
        for _ in range(request):
            print("x" * 1000)
            print("y" * 1000, file=sys.stderr)
        return sys.stdout.buffer.dropped_bytes
"""


def test_everything_printed_is_captured_and_no_frame_is_disturbed(pool):
    worker = pool.start_worker(PRINTER)
    assert pool.call("speak", b"bytes") == b"bytes"
    assert pool.call("speak", ["value"]) == ["value"]
    pool.end_worker()
    for line in ("in set-up", "printed ['value']", "no newline yet", "by the buffer"):
        assert line in worker._texts["stdout"].decode("latin-1")
    assert b"raw bytes \xff\n" in worker._texts["stdout"]
    assert b"from a child\n" in worker._texts["stdout"]
    for line in ("INFO logged ['value']", "UserWarning: warned", "raw error bytes"):
        assert line in worker.stderr


def test_a_supervisor_that_does_not_read_loses_output_and_no_call(pool):
    worker = pool.start_worker(PRINTER, read_output=False)
    dropped = pool.call("flood", 1000)
    assert dropped > 500_000
    assert pool.call("ping")["status"] == "ok"
    # When it reads again, it learns how much is missing.
    worker.read_output()
    wait_until(lambda: worker.stdout.count("x" * 1000) >= 60, "the pipe to be empty")
    assert pool.call("flood", 1) == 0
    wait_until(lambda: "bytes of output were dropped here]" in worker.stdout, "the note")
    assert f"[slotring: {dropped} bytes" in worker.stdout


def test_a_supervisor_that_is_gone_breaks_no_call(pool):
    worker = pool.start_worker(PRINTER, read_output=False)
    worker.process.stdout.close()
    worker.process.stderr.close()
    assert pool.call("say", b"to nobody") == b"to nobody"
    pool.end_worker()


@pytest.fixture
def pipe():
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            pass


def test_a_closed_descriptor_takes_everything_silently(pipe):
    writer = LossyWriter(pipe[1])
    os.close(pipe[1])
    assert writer.write(b"lost") == 4
    assert writer.dropped_bytes == 4


def test_a_writer_waits_a_moment_for_a_reader_that_is_only_slow(pipe):
    import threading

    writer = LossyWriter(pipe[1])
    received = []

    def read():
        while data := os.read(pipe[0], 1000):
            received.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    data = os.urandom(1 << 20)
    writer.write(data)
    os.close(pipe[1])
    reader.join()
    assert b"".join(received) == data and writer.dropped_bytes == 0


def test_a_note_tells_where_output_is_missing(pipe):
    writer = LossyWriter(pipe[1])
    writer.write(b"a" * 100_000)
    dropped = writer.dropped_bytes
    assert 0 < dropped < 100_000
    writer.write(b"b")
    assert writer.dropped_bytes == dropped + 1
    os.read(pipe[0], 100_000)
    writer.write(b"c\n")
    expected = f"\n[slotring: {dropped + 1} bytes of output were dropped here]\nc\n"
    assert os.read(pipe[0], 1000) == expected.encode()
    assert writer.dropped_bytes == 0
