"""A server on a Unix stream socket, in plain Python, as its documentation advises.

Usage: socket_echo.py SOCKET CONNECTIONS [FOLDER JOB]

Without the last two it echoes; FOLDER holds the module jobs, which has the function for JOB. A
message is its length (four bytes, little-endian) and its bytes. One connection is served by a
blocking loop; several by one selector, without threads that would compete for the interpreter.
"""

import selectors
import socket
import struct
import sys

HEADER = struct.Struct("<I")


def echo(message):
    return message


def answer_one(answer, stream, connection):
    """Answers one message. False at the end of the connection."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return False
    message = stream.read(HEADER.unpack(header)[0])
    reply = answer(message)
    connection.sendall(HEADER.pack(len(reply)) + reply)
    return True


def serve_one(answer, listener):
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while answer_one(answer, stream, connection):
                pass


def serve_many(answer, listener):
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                connection, _ = listener.accept()
                stream = connection.makefile("rb")
                selector.register(connection, selectors.EVENT_READ, stream)
            elif not answer_one(answer, key.data, key.fileobj):  # a client has one message under way
                selector.unregister(key.fileobj)
                key.data.close()
                key.fileobj.close()


def answer_of(folder, job):
    sys.path.insert(0, folder)
    import jobs

    return jobs.job(job)


def main():
    path, connections = sys.argv[1], int(sys.argv[2])
    answer = answer_of(*sys.argv[3:]) if len(sys.argv) > 3 else echo
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        if connections == 1:
            serve_one(answer, listener)
        serve_many(answer, listener)


if __name__ == "__main__":
    main()
