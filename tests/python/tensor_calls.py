"""Calls with numpy arrays, and numpy arrays of what they return."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker_pool import WorkerPool


def send(pool: WorkerPool, method: str, *arrays: Any, value: Any = None, **named: Any) -> Any:
    """Calls with tensors made in the slot, and waits."""
    tensors = [
        (array.dtype.str, array.shape, array.tobytes(), name)
        for name, array in [*(("", array) for array in arrays), *named.items()]
    ]
    return pool.finish(pool.start_tensors(method, tensors, value))


def as_array(tensor: Any) -> Any:
    return np.frombuffer(tensor.elements, tensor.dtype).reshape(tensor.shape)
