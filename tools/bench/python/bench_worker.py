"""What `slotring bench` has its workers run."""

import slotring


@slotring.handler
def echo(request):
    return request


@slotring.handler
def frames(request):
    frame = bytes(request)
    for _ in range(100_000):
        yield frame
