"""Calls that have to fail, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slotring import CallError
from worker_pool import CallFailed


def failure_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> CallFailed:
    """Of a call to a worker."""
    with pytest.raises(CallFailed) as failed:
        call(*arguments, **options)
    return failed.value


def refusal_of(function: Callable[..., Any], *arguments: Any) -> CallError:
    """Of a function that is called in this process."""
    with pytest.raises(CallError) as refused:
        function(*arguments)
    return refused.value
