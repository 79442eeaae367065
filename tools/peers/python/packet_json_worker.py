"""A port program: packets of four bytes of length and JSON on standard input and output.

Usage: packet_json_worker.py JOB
"""

import base64
import json
import sys
from array import array

import jobs


def answer_echo(job, message):
    reply = job(base64.b64decode(message["bytes"]))
    return {"bytes": base64.b64encode(reply).decode("ascii")}


def answer_digits(job, message):
    return {"digit": job(array("d", message["image"]))[0]}


def main():
    name = sys.argv[1]
    job = jobs.job(name)
    answer = answer_echo if name == "echo" else answer_digits
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    while header := requests.read(4):
        message = json.loads(requests.read(int.from_bytes(header, "big")))
        packet = json.dumps(answer(job, message)).encode()
        replies.write(len(packet).to_bytes(4, "big") + packet)
        replies.flush()


if __name__ == "__main__":
    main()
