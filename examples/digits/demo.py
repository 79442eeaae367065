"""Runs the demo: 3 C++ processes have all 1,797 images classified by 2 Python workers.

    demo.py --supervisor PATH --slotring PATH --client PATH

Ends with 0 only if every image was answered exactly once, by the clients' count and by the
workers', and every answer equals that of the same model without the pool. Leaves no process, socket
or file behind.
"""

import argparse
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy, as for the workers

import numpy as np  # noqa: E402

import digits_model  # noqa: E402

HERE = Path(__file__).resolve().parent
CLIENTS = 3
START_TIMEOUT_S = 60


class Failure(Exception):
    """What the demo ends with, in words."""


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Failure as failure:
        print(f"demo: FAILED: {failure}", file=sys.stderr)
        return 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for program in ("supervisor", "slotring", "client"):
        parser.add_argument(f"--{program}", required=True, help=f"the program {program}")
    return parser.parse_args()


def run(options):
    print("Training the classifier here, without the pool, for comparison ...", flush=True)
    images, digits = digits_model.load_images()
    model = digits_model.DigitsModel()
    expected = model.predict(images)
    alone_s = seconds_an_image(model, images)

    with contextlib.ExitStack() as stack:
        # Short, since a socket's path has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix="slotring-demo.", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        images.tofile(folder / "images.bin")
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1")
        print("Starting the supervisor; its 2 workers train the same classifier ...", flush=True)
        start_pool(options, folder, environment, stack)
        calls_before = calls_by_worker(options, environment)
        answers, elapsed_s, status = classify_all(options, folder, environment, len(images), stack)
        calls = calls_by_worker(options, environment) - calls_before

    print(f"\n`slotring status`, with half of the images done:\n\n{indented(status)}")
    print_result(answers, digits, elapsed_s, alone_s, calls)
    check(answers, expected, calls)
    print("\nEvery image was answered exactly once, as by the model without the pool.")
    return 0


def seconds_an_image(model, images):
    sample = images[:100]
    begin = time.perf_counter()
    for image in sample:
        model.predict(image.reshape(1, -1))
    return (time.perf_counter() - begin) / len(sample)


# --- processes ---------------------------------------------------------------------------------


def start(command, environment, stack, **options):
    """A process that ends with this one, whatever ends this one, and at the end of `stack`."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C comes to this process, which stops the others
        **options,
    )
    stack.callback(stop, process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_pool(options, folder, environment, stack):
    log = stack.enter_context(open(folder / "supervisor.log", "w+"))
    command = [options.supervisor, "--config", HERE / "digits.toml"]
    supervisor = start(command, environment, stack, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while ready_workers(options, environment) < 2:
        if supervisor.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise Failure(f"the pool did not start; the supervisor's log:\n{log.read()}")
        time.sleep(0.05)


def slotring(options, environment, *arguments):
    command = [options.slotring, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def workers(options, environment):
    answer = slotring(options, environment, "status", "digits", "--json")
    return json.loads(answer.stdout)["workers"] if answer.returncode == 0 else []


def ready_workers(options, environment):
    return sum(worker["state"] == "ready" for worker in workers(options, environment))


def calls_by_worker(options, environment):
    calls = [worker["calls"] for worker in workers(options, environment)]
    if not calls:
        raise Failure("`slotring status` does not answer any more")
    return np.array(calls)


# --- the job -----------------------------------------------------------------------------------


def classify_all(options, folder, environment, image_count, stack):
    """All answers (image, digit, nanoseconds), the seconds it took, and the status half-way."""
    begin = time.monotonic()
    selector = stack.enter_context(selectors.DefaultSelector())
    clients = []
    for part in range(CLIENTS):
        command = [options.client, folder / "images.bin", part, CLIENTS]
        client = start(command, environment, stack, stdout=subprocess.PIPE)
        selector.register(client.stdout, selectors.EVENT_READ, bytearray())
        clients.append(client)
    answers = []
    bar = ProgressBar(image_count)
    status = ""
    while selector.get_map():
        for key, _ in selector.select():
            answers += read_answers(selector, key)
        bar.show(len(answers))
        if not status and len(answers) >= image_count // 2:
            status = slotring(options, environment, "status", "digits").stdout
    elapsed_s = time.monotonic() - begin
    bar.end()
    for part, client in enumerate(clients):
        if client.wait() != 0:
            raise Failure(f"client {part} ended with {client.returncode}")
    return np.array(answers, dtype=np.int64).reshape(-1, 3), elapsed_s, status


def read_answers(selector, key):
    """What a client wrote meanwhile, in whole lines; the rest of a line waits in `key.data`."""
    read = os.read(key.fd, 65536)
    if not read:
        selector.unregister(key.fileobj)
        key.fileobj.close()
    key.data.extend(read)
    *lines, rest = key.data.split(b"\n")
    key.data[:] = rest
    return [tuple(map(int, line.split())) for line in lines]


class ProgressBar:
    """A bar that is redrawn on a terminal; elsewhere a line each quarter."""

    WIDTH = 50

    def __init__(self, total):
        self._total = total
        self._terminal = sys.stdout.isatty()
        self._quarter = 0
        self._drawn_at = 0.0

    def show(self, done):
        if not self._terminal:
            quarter = 4 * done // self._total
            if quarter > self._quarter:
                self._quarter = quarter
                print(f"  {done} of {self._total} images", flush=True)
        elif time.monotonic() - self._drawn_at > 0.03 or done >= self._total:
            self._drawn_at = time.monotonic()
            full = self.WIDTH * done // self._total
            bar = "█" * full + "░" * (self.WIDTH - full)
            print(f"\r  {bar} {done} of {self._total} images", end="", flush=True)

    def end(self):
        if self._terminal:
            print(flush=True)


# --- the result --------------------------------------------------------------------------------


def print_result(answers, digits, elapsed_s, alone_s, calls):
    images, found, took_ns = answers.T
    right = found == digits[images]
    unseen = digits_model.held_out(len(digits))[images]
    p50_ms, p99_ms = np.percentile(took_ns, [50, 99]) / 1e6
    rows = [
        ("images", f"{len(answers)} in {elapsed_s:.2f} s, by {CLIENTS} C++ clients"),
        ("accuracy", f"{right.mean():.2%}; {right[unseen].mean():.2%} of those not trained on"),
        ("calls/s", f"{len(answers) / elapsed_s:.0f}"),
        ("a call", f"p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms, waiting for a worker included"),
        ("model alone", f"{alone_s * 1e3:.2f} ms an image, without the pool and undisturbed"),
        ("calls a worker", ", ".join(f"{n} by worker {i}" for i, n in enumerate(calls))),
    ]
    for name, value in rows:
        print(f"  {name:<15}{value}")


def check(answers, expected, calls):
    images, found, _ = answers.T
    times = np.bincount(images[images < len(expected)], minlength=len(expected))
    problems = []
    if len(answers) != len(expected) or (times != 1).any():
        problems.append(f"{(times == 0).sum()} images unanswered, {(times > 1).sum()} repeated")
    elif (found != expected[images]).any():
        problems.append(f"{(found != expected[images]).sum()} answers differ from the model's own")
    if calls.sum() != len(expected):
        problems.append(f"the workers count {calls.sum()} calls for {len(expected)} images")
    if problems:
        raise Failure("; ".join(problems))


def indented(text):
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
