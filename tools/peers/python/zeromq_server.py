"""A ZeroMQ server: one REP socket, by pyzmq.

Usage: zeromq_server.py JOB ENDPOINT

Messages from pyzmq's threshold on are neither copied when they come nor when they go; for smaller
ones a copy costs less than the bookkeeping. A message is taken to be like the one before.
"""

import os
import sys

import jobs
import zmq

READY_FD = 3


def main():
    job, endpoint = jobs.job(sys.argv[1]), sys.argv[2]
    socket = zmq.Context.instance().socket(zmq.REP)
    socket.bind(endpoint)
    os.write(READY_FD, b"r")
    copy = True
    while True:
        message = socket.recv(copy=copy)
        request = message if copy else message.buffer
        socket.send(job(request), copy=copy)
        copy = len(request) < zmq.COPY_THRESHOLD


if __name__ == "__main__":
    main()
