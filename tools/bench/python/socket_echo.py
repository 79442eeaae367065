"""An echo server on a Unix stream socket, in plain Python, as its documentation advises.

Usage: socket_echo.py SOCKET CONNECTIONS

A message is its length (four bytes, little-endian) and its bytes. One connection is served by a
blocking loop; several by one selector, without threads that would compete for the interpreter.
"""

import selectors
import socket
import struct
import sys

HEADER = struct.Struct("<I")


def echo_one(stream, connection):
    """Answers one message. False at the end of the connection."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return False
    message = stream.read(HEADER.unpack(header)[0])
    connection.sendall(header + message)
    return True


def serve_one(listener):
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while echo_one(stream, connection):
                pass


def serve_many(listener):
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                connection, _ = listener.accept()
                stream = connection.makefile("rb")
                selector.register(connection, selectors.EVENT_READ, stream)
            elif not echo_one(key.data, key.fileobj):  # a client has one message under way
                selector.unregister(key.fileobj)
                key.data.close()
                key.fileobj.close()


def main():
    path, connections = sys.argv[1], int(sys.argv[2])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        if connections == 1:
            serve_one(listener)
        serve_many(listener)


if __name__ == "__main__":
    main()
