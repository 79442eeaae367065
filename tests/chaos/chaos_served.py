"""What the Python workers of a chaos run serve."""

import os
import struct
import time
import zlib

import slotring


def _answer(request):
    body = bytes(request)
    return struct.pack("<Q", zlib.crc32(body)) + body


@slotring.handler
def echo(request):
    return _answer(request)


@slotring.handler
def slow(request):
    answer = _answer(request)
    time.sleep(0.02 * (answer[0] / 255))
    return answer


@slotring.handler
def fail(request):
    raise ValueError(f"as asked, {zlib.crc32(request)}")


@slotring.handler
def die(request):
    if zlib.crc32(request) % 2:
        os.abort()
    os._exit(7)
