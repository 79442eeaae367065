"""Clients that are threads of one process, which shares a ProcessPoolExecutor; see turn_clients.py.

Usage: executor_clients.py JOB WORKERS

An executor belongs to one process: there is no other way for several clients to have the same
workers.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jobs
import turn_clients

answer = None


def be_worker(job, cpus, started, barrier):
    global answer
    turn_clients.end_with_parent()
    with started.get_lock():
        number = started.value
        started.value += 1
    turn_clients.place(cpus, number)
    answer = jobs.job(job)
    barrier.wait()


def work(request):
    return answer(request)


def start(job, workers, shape, executor):
    turn_clients.place(shape["client_cpus"], 0)
    questions = turn_clients.questions_of(job, shape["payload_bytes"], 0)
    executor.submit(work, next(questions)[0]).result()
    clients = [
        turn_clients.Client(
            lambda request: executor.submit(work, request).result(),
            turn_clients.questions_of(job, shape["payload_bytes"], number),
            shape["gap_ns"],
        )
        for number in range(shape["clients"])
    ]

    def run(begin_ns, end_ns):
        with ThreadPoolExecutor(len(clients)) as threads:
            took = list(threads.map(lambda client: client.run(begin_ns, end_ns), clients))
        return [(t, client.latencies_ns) for t, client in zip(took, clients)]

    return [os.getpid()], [process.pid for process in multiprocessing.active_children()], run


def main():
    turn_clients.end_on_signals()
    job, workers = sys.argv[1], int(sys.argv[2])
    executors = []

    def start_executor(shape):
        started = multiprocessing.Value("i", 0)
        barrier = multiprocessing.Barrier(workers)
        executor = ProcessPoolExecutor(
            workers,
            initializer=be_worker,
            initargs=(job, shape["server_cpus"], started, barrier),
        )
        executors.append(executor)
        return start(job, workers, shape, executor)

    try:
        turn_clients.run_clients(start_executor)
    finally:
        for executor in executors:
            executor.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
