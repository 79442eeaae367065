"""Fixtures of the Python side's tests, and the seed of their random ones."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import settings

from worker_pool import WorkerPool

# Workers are processes: their times vary, and a database of examples would be a file left behind.
settings.register_profile("slotring", deadline=None, database=None, print_blob=True)
settings.load_profile("slotring")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("hypothesis_seed", None) is None:
        seed = os.environ.get("SLOTRING_TEST_SEED") or random.randrange(2**32)
        config.option.hypothesis_seed = str(seed)


def pytest_report_header(config: pytest.Config) -> str:
    return f"repeat with: SLOTRING_TEST_SEED={config.getoption('hypothesis_seed')}"


@pytest.fixture
def pool(tmp_path) -> Iterator[WorkerPool]:
    """A pool without a worker yet; drained, and its worker checked, after the test."""
    with WorkerPool(tmp_path) as made:
        yield made


@pytest.fixture
def wide(tmp_path) -> Iterator[WorkerPool]:
    """The same with eight slots."""
    with WorkerPool(tmp_path, slots=8) as made:
        yield made


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path) -> str:
    """Where sessions are kept: in either."""
    return "memory" if request.param == "memory" else f"sqlite:{tmp_path}/sessions.db"


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite:{tmp_path}/sessions.db"


@pytest.fixture
def two_seats(tmp_path) -> Iterator[WorkerPool]:
    """A pool for two workers."""
    with WorkerPool(tmp_path, seats=2) as pool:
        yield pool
