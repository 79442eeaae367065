"""A gRPC server: grpcio's thread pool, in a process of its own.

Usage: grpc_server.py GENERATED_FOLDER JOB ADDRESS THREADS

GENERATED_FOLDER holds what protoc made of peer.proto.
"""

import os
import sys
from concurrent import futures

import grpc
import jobs

READY_FD = 3
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main():
    generated, job_name, address, threads = sys.argv[1:]
    sys.path.insert(0, generated)
    import peer_pb2
    import peer_pb2_grpc

    job = jobs.job(job_name)

    class Worker(peer_pb2_grpc.WorkerServicer):
        def Call(self, request, context):
            return peer_pb2.Payload(data=job(request.data))

        def Converse(self, requests, context):
            for request in requests:
                yield peer_pb2.Payload(data=job(request.data))

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=int(threads)), options=OPTIONS)
    peer_pb2_grpc.add_WorkerServicer_to_server(Worker(), server)
    server.add_insecure_port(address)
    server.start()
    os.write(READY_FD, b"r")
    server.wait_for_termination()


if __name__ == "__main__":
    main()
