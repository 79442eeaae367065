"""What the comparison's Slotring workers run: the job that the environment names."""

import os

import jobs
import slotring


@slotring.service
class Worker:
    def __init__(self):
        self._answer = jobs.job(os.environ["SLOTRING_BENCH_JOB"])

    @slotring.handler
    def work(self, request):
        return self._answer(request)
