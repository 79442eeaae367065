"""A member of a NATS queue group, by NATS' C client.

Usage: nats_server.py JOB URL SUBJECT

Debian has no NATS client for Python. This calls the C client by ctypes, some 10 us a message.
"""

import ctypes
import ctypes.util
import os
import sys
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int64, c_void_p

import jobs

READY_FD = 3
OK, TIMEOUT = 0, 26
WAIT_MS = 3_600_000

nats = ctypes.CDLL(ctypes.util.find_library("nats"))
nats.natsStatus_GetText.restype = c_char_p
nats.natsMsg_GetReply.restype = c_char_p
nats.natsMsg_GetData.restype = c_void_p


def declare(name, *argument_types):
    getattr(nats, name).argtypes = argument_types


declare("natsOptions_Create", POINTER(c_void_p))
declare("natsOptions_SetURL", c_void_p, c_char_p)
declare("natsOptions_SetSendAsap", c_void_p, c_bool)
declare("natsConnection_Connect", POINTER(c_void_p), c_void_p)
declare("natsConnection_QueueSubscribeSync", POINTER(c_void_p), c_void_p, c_char_p, c_char_p)
declare("natsSubscription_SetPendingLimits", c_void_p, c_int, c_int)
declare("natsConnection_FlushTimeout", c_void_p, c_int64)
declare("natsSubscription_NextMsg", POINTER(c_void_p), c_void_p, c_int64)
declare("natsMsg_GetReply", c_void_p)
declare("natsMsg_GetData", c_void_p)
declare("natsMsg_GetDataLength", c_void_p)
declare("natsMsg_Destroy", c_void_p)
declare("natsConnection_Publish", c_void_p, c_char_p, c_void_p, c_int)


def check(status):
    if status != OK:
        raise RuntimeError(nats.natsStatus_GetText(status).decode())


def connect(url):
    options, connection = c_void_p(), c_void_p()
    check(nats.natsOptions_Create(byref(options)))
    check(nats.natsOptions_SetURL(options, url.encode()))
    check(nats.natsOptions_SetSendAsap(options, True))
    check(nats.natsConnection_Connect(byref(connection), options))
    return connection


def subscribe(connection, subject):
    subscription = c_void_p()
    check(
        nats.natsConnection_QueueSubscribeSync(
            byref(subscription), connection, subject.encode(), b"workers"
        )
    )
    check(nats.natsSubscription_SetPendingLimits(subscription, -1, -1))
    check(nats.natsConnection_FlushTimeout(connection, 10_000))  # the server knows of it
    return subscription


def answer(connection, message, job):
    length = nats.natsMsg_GetDataLength(message)
    request = (c_char * length).from_address(nats.natsMsg_GetData(message))
    reply = job(memoryview(request))
    size = len(reply)
    address = reply if isinstance(reply, bytes) else (c_char * size).from_buffer(reply)
    check(nats.natsConnection_Publish(connection, nats.natsMsg_GetReply(message), address, size))


def main():
    job, url, subject = jobs.job(sys.argv[1]), sys.argv[2], sys.argv[3]
    connection = connect(url)
    subscription = subscribe(connection, subject)
    os.write(READY_FD, b"r")
    message = c_void_p()
    while True:
        status = nats.natsSubscription_NextMsg(byref(message), subscription, WAIT_MS)
        if status == TIMEOUT:
            continue
        check(status)
        answer(connection, message, job)
        nats.natsMsg_Destroy(message)


if __name__ == "__main__":
    main()
