"""The Python end of the benchmark's bare-python.

Usage: bare_echo.py EXTENSION_FOLDER DESCRIPTOR PAYLOAD_BYTES spin|yield

The descriptor is that of the shared memory. Serves until a signal ends it.
"""

import sys


def echo(request):
    return request


def main():
    folder, descriptor, payload_bytes, waiting = sys.argv[1:]
    sys.path.insert(0, folder)
    import _bare_exchange

    _bare_exchange.serve(int(descriptor), int(payload_bytes), waiting == "yield", echo)


if __name__ == "__main__":
    main()
