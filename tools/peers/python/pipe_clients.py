"""Clients and workers that are joined by multiprocessing.Pipe; see turn_clients.py.

Usage: pipe_clients.py JOB WORKERS
"""

import multiprocessing
import sys
from array import array
from multiprocessing.connection import wait

import jobs
import turn_clients


def work(job, cpus, number, ends, barrier):
    turn_clients.end_with_parent()
    turn_clients.place(cpus, number)
    answer = jobs.job(job)
    barrier.wait()
    try:
        if len(ends) == 1:
            while True:
                ends[0].send_bytes(answer(ends[0].recv_bytes()))
        while True:
            for end in wait(ends):
                end.send_bytes(answer(end.recv_bytes()))
    except EOFError:
        return


def be_client(job, shape, number, end, control, barrier):
    turn_clients.end_with_parent()
    turn_clients.place(shape["client_cpus"], number)

    def call(request):
        end.send_bytes(request)
        return end.recv_bytes()

    questions = turn_clients.questions_of(job, shape["payload_bytes"], number)
    client = turn_clients.Client(call, questions, shape["gap_ns"])
    barrier.wait()
    took = client.run(*control.recv())
    control.send(took)
    control.send_bytes(client.latencies_ns)
    control.recv()  # ended with the program, as a daemon


def start(job, workers, shape):
    clients = shape["clients"]
    barrier = multiprocessing.Barrier(workers + clients + 1)
    pipes = [multiprocessing.Pipe() for _ in range(clients)]
    controls = [multiprocessing.Pipe() for _ in range(clients)]
    serving = [
        multiprocessing.Process(
            target=work,
            args=(
                job,
                shape["server_cpus"],
                worker,
                [end for _, end in pipes[worker::workers]],
                barrier,
            ),
            daemon=True,
        )
        for worker in range(workers)
    ]
    calling = [
        multiprocessing.Process(
            target=be_client,
            args=(job, shape, client, pipes[client][0], controls[client][1], barrier),
            daemon=True,
        )
        for client in range(clients)
    ]
    for process in serving + calling:
        process.start()
    barrier.wait()

    def run(begin_ns, end_ns):
        for control, _ in controls:
            control.send((begin_ns, end_ns))
        measured = []
        for (control, _), process in zip(controls, calling):
            if not wait([control, process.sentinel]) or not control.poll():
                raise RuntimeError("a client ended early")
            measured.append((control.recv(), array("Q", control.recv_bytes())))
        return measured

    return [process.pid for process in calling], [process.pid for process in serving], run


def main():
    turn_clients.end_on_signals()
    job, workers = sys.argv[1], int(sys.argv[2])
    turn_clients.run_clients(lambda shape: start(job, workers, shape))


if __name__ == "__main__":
    main()
