"""Python handlers that C++ programs call through shared memory.

A worker module:

    import slotring

    @slotring.handler
    def echo(request):
        return request

The supervisor starts workers with ``python -m slotring.worker``; nothing here starts one.

What a handler gets and gives back:

===============================================  ==============================================
the caller's payload                             ``request``
===============================================  ==============================================
none                                             ``None``
bytes                                            a read-only memoryview of the slot, no copy
a value                                          None, bool, int, float, str, bytes, list, dict
a tensor; several; named ones and a value        a read-only numpy array; a list; a dict
a FlatBuffers table of the user's                see :func:`table`; verified, a copy
===============================================  ==============================================

A handler returns one of the same, or any buffer (bytes, bytearray, ...), which is sent as its
bytes. Arrays keep their dtype and shape, also as items of a list or a dict that is returned, see
docs/data.md. It may keep its request: a view that outlives the call shows the call's
own bytes for as long as it lives, but those bytes are then copied, and there is a bound;
``bytes(request)`` is the clear way to keep them. What it raises reaches the caller as a typed error
with traceback; an exception that it returns, instead of raising it, is the same error.

A handler may be a generator: what it yields goes to the caller at once. ``ctx.incoming`` iterates
what the caller sends while the call runs, and ``ctx.tools`` calls functions of the caller; see
docs/streams.md.

What all workers must know (a model to use, a key to a service) is set by a broadcast to a handler
with ``broadcast=True``, see :func:`handler`: each worker makes that call, also each later one.

A caller may leave a call that runs: its deadline passes, it cancels, or it dies. Nobody gets the
reply then, and the slot is not used again before the handler has ended, so a long one should look:
``ctx.cancelled`` (of a second parameter, see :func:`handler`) says so at any time, and in a
coroutine ``asyncio.CancelledError`` is raised, once, at its next ``await``. It may clean up, or
catch it and go on. In a pool with ``call_time_limit_s`` a worker whose call takes longer is killed.

A call may be one of a session: ``ctx.session`` is a mapping then that its later calls find again
(:class:`Session`), and None otherwise.
"""

import sys

if sys.version_info < (3, 11):
    raise ImportError(f"slotring needs Python 3.11 or later, this is {sys.version.split()[0]}")

from slotring._native import VERSION as __version__
from slotring._native import Context
from slotring.batches import Batch
from slotring.errors import CallError, ErrorCode
from slotring.handlers import handler, service, session_end, session_start, setup, teardown
from slotring.sessions import Session
from slotring.tables import Table, table


def dlpack(array: object) -> object:
    """What ``torch.from_dlpack()`` and the like take to look at ``array`` without a copy.

    For a request's arrays, which are read-only: DLPack cannot say so, and numpy does not export
    them. Writing to such a tensor ends the worker (SIGSEGV), for the kernel keeps a request's
    memory read-only; ``.clone()`` it to change it. The tensor may outlive the call as any view may.
    """
    from slotring.tensors import Exporter

    return Exporter(array)


__all__ = [
    "Batch",
    "CallError",
    "Context",
    "ErrorCode",
    "Session",
    "Table",
    "__version__",
    "dlpack",
    "handler",
    "service",
    "session_end",
    "session_start",
    "setup",
    "table",
    "teardown",
]
