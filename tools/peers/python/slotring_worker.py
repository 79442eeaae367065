"""What the comparison's Slotring workers run: the job that the environment names."""

import os

import jobs
import slotring

work = slotring.handler("work")(jobs.job(os.environ["SLOTRING_BENCH_JOB"]))
