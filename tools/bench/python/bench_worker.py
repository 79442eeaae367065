"""What `slotring bench` has its workers run."""

import os

import slotring

STREAM_FRAMES = int(os.environ["SLOTRING_BENCH_STREAM_FRAMES"])


@slotring.handler
def echo(request):
    return request


@slotring.handler
def frames(request):
    frame = bytes(request)
    for _ in range(STREAM_FRAMES):
        yield frame
