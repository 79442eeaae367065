"""A server of a Boost.Interprocess queue; its loop is in the extension.

Usage: boost_queue_server.py EXTENSION_FOLDER JOB SHARED_MEMORY_NAME
"""

import sys

import jobs

READY_FD = 3


def main():
    folder, job, memory = sys.argv[1:]
    sys.path.insert(0, folder)
    import _boost_queue

    _boost_queue.serve(memory, READY_FD, jobs.job(job))


if __name__ == "__main__":
    main()
