"""Clients of a turn that are written in Python; the turn's side is tools/bench/client_program.h.

A program calls run_clients() with what starts its clients.
"""

import ctypes
import json
import os
import signal
import socket
import time
from array import array

import jobs

TURN_FD = 3
_PR_SET_PDEATHSIG = 1


def end_with_parent():
    """To be called first in a child process, of its parent's main thread."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_on_signals():
    """To be called first in the program: SIGTERM then ends it as SystemExit does."""

    def leave(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C: the turn ends this program


def place(cpus, number):
    """Binds this process to the CPU of participant `number`; nothing in `cpus`: to none."""
    if cpus:
        os.sched_setaffinity(0, {cpus[number % len(cpus)]})


def questions_of(job, payload_bytes, client):
    """Endless pairs of a request and the right reply; each client begins somewhere else."""
    if job == "digits":
        digits = jobs.Digits()
        images = [image.tobytes() for image in digits.images]
        pairs = list(zip(images, map(digits.classifier(), images)))
        number = client * 97
        while True:
            number += 1
            yield pairs[number % len(pairs)]
    number = 0
    rest = b"Z" * (payload_bytes - 8)
    while True:
        number += 1
        request = number.to_bytes(8, "little") + rest
        yield request, request


class Client:
    """One client's calls, one after another: what tools/bench/caller.h is in C++."""

    def __init__(self, call, questions, gap_ns):
        self._call = call
        self._questions = questions
        self._gap_ns = gap_ns
        self.latencies_ns = array("Q")
        next(questions)  # what it takes to have the first is no part of a call

    def run(self, begin_ns, end_ns):
        """Returns how many nanoseconds the counted calls took, from the first to the last."""
        self._call_until(begin_ns)
        self.latencies_ns = array("Q")
        return self._call_until(end_ns)

    def _call_until(self, end_ns):
        call, questions, now = self._call, self._questions, time.perf_counter_ns
        begin = now()
        while True:
            request, right = next(questions)
            before = now()
            reply = call(request)
            after = now()
            self.latencies_ns.append(after - before)
            if reply != right:
                raise ValueError("a reply is not the right one")
            if after >= end_ns:
                return after - begin
            if self._gap_ns:
                time.sleep(self._gap_ns / 1e9)


def run_clients(start):
    """Speaks with the turn.

    `start(shape)` starts servers and clients, and returns when they are connected: the pids of
    both, as lists, and a function of begin_ns and end_ns that has the clients run and returns for
    each what it took and its latencies, in nanoseconds.
    """
    with socket.socket(fileno=TURN_FD) as turn, turn.makefile("rwb") as stream:
        shape = json.loads(stream.readline())
        clients, servers, run = start(shape)
        _write(stream, json.dumps({"clients": clients, "servers": servers}).encode() + b"\n")
        times = json.loads(stream.readline())
        measured = run(times["begin_ns"], times["end_ns"])
        head = {
            "calls": [len(latencies) for _, latencies in measured],
            "took_ns": [took for took, _ in measured],
        }
        _write(stream, json.dumps(head).encode() + b"\n")
        for _, latencies in measured:
            _write(stream, latencies.tobytes())
        stream.read()  # until the turn has looked at how much CPU time was used


def _write(stream, data):
    stream.write(data)
    stream.flush()
