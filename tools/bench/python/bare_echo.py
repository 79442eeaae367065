"""The Python end of the benchmark's bare-python.

Usage: bare_echo.py EXTENSION_FOLDER DESCRIPTOR PAYLOAD_BYTES spin|yield echo|stream

The descriptor is that of the shared memory. Serves until a signal ends it.
"""

import sys


def echo(request):
    return request


def frames(frame, count):
    for _ in range(count):
        yield frame


def main():
    folder, descriptor, payload_bytes, waiting, what = sys.argv[1:]
    sys.path.insert(0, folder)
    import _bare_exchange

    descriptor, payload_bytes = int(descriptor), int(payload_bytes)
    if what == "stream":
        frame = b"F" * payload_bytes
        _bare_exchange.serve_streams(
            descriptor,
            payload_bytes,
            waiting == "yield",
            lambda: frames(frame, _bare_exchange.STREAM_FRAMES),
        )
    _bare_exchange.serve(descriptor, payload_bytes, waiting == "yield", echo)


if __name__ == "__main__":
    main()
