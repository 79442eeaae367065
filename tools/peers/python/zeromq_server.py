"""A ZeroMQ server: one REP socket, by pyzmq.

Usage: zeromq_server.py JOB ENDPOINT PAYLOAD_BYTES

Messages from pyzmq's threshold on are neither copied when they come nor when they go; for smaller
ones a copy costs less than the bookkeeping.
"""

import os
import sys

import jobs
import zmq

READY_FD = 3


def main():
    job, endpoint, payload_bytes = jobs.job(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    copy = payload_bytes < zmq.COPY_THRESHOLD
    socket = zmq.Context.instance().socket(zmq.REP)
    socket.bind(endpoint)
    os.write(READY_FD, b"r")
    while True:
        message = socket.recv(copy=copy)
        request = message if copy else message.buffer
        socket.send(job(request), copy=copy)


if __name__ == "__main__":
    main()
