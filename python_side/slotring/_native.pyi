"""The native part: see python_side/native/."""

import builtins
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, final

from typing_extensions import Buffer

from slotring.sessions import Session
from slotring.tools import Tools

VERSION: str
MAX_METHODS: int
MAX_NAME_BYTES: int

class Failure(RuntimeError):
    """An operation failed; args are (message, code), the code an int of slotring.ErrorCode."""

@final
class Context:
    """What a handler may know of its call. Outlives it, but then only tells that it is over."""

    @property
    def call_id(self) -> int:
        """The call's number, unique in its pool; 0 in a call that a broadcast makes."""
    @property
    def method(self) -> str: ...
    @property
    def session(self) -> Session | None:
        """The call's session; None when it has none."""
    @property
    def broadcast_key(self) -> str | None:
        """What the broadcast is about that makes this call; None for a plain call."""
    @property
    def remaining_s(self) -> float | None:
        """Seconds until the call's deadline, not below 0; None when it has none."""
    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the reply any more: cancelled, late, or the caller died."""

    def empty(self, shape: int | Sequence[int], dtype: Any = "float32") -> Any:
        """A writable array in the reply's memory, its elements as they happen to be. Returned, by
        itself or among others, it is sent from there without a copy. Raises ValueError or TypeError
        for a shape or dtype that a tensor cannot have; RuntimeError when the call is over, or is a
        broadcast's; CallError: INVALID_ARGUMENT, PAYLOAD_TOO_LARGE, OUT_OF_MEMORY, SYSTEM_LIMIT."""
    @property
    def incoming(self) -> Channel:
        """The items that the caller sends while the call runs: ``for item in ctx.incoming``, or
        ``async for``. Each is what a request would be, in memory of its own; it ends after the
        last, and is empty where the caller sends none. Raises CallError as Channel does, and
        BAD_FRAME, OUT_OF_MEMORY."""
    @property
    def tools(self) -> Tools:
        """The caller's functions: ``ctx.tools.search(argument, timeout=2.0)``."""
    @property
    def _outgoing(self) -> Channel: ...

@final
class Channel:
    """What a handler and its caller send each other while the call runs. As an iterator, what the
    caller sends. One thread at a time: another gets INVALID_ARGUMENT. Whatever waits raises
    CallError: CANCELLED when the caller has gone or the call is over, DEADLINE_EXCEEDED."""

    def __iter__(self) -> Channel: ...
    def __next__(self) -> Any: ...
    def __aiter__(self) -> Channel: ...
    def __anext__(self) -> Coroutine[Any, Any, Any]: ...
    def check_reader(self) -> None:
        """Raises CallError: STREAM_REQUIRED when the caller reads no stream, CANCELLED when it has
        gone."""
    def send(self, item: object, /) -> None:
        """Sends an item of the stream; waits for room. Raises CallError: also STREAM_REQUIRED,
        REPLY_NOT_CONVERTIBLE, PAYLOAD_TOO_LARGE, OUT_OF_MEMORY."""
    def try_send(self, item: object, /) -> bool:
        """The same without waiting: False when there is no room; wait(-1) waits for it."""
    def ask(self, tool: str, argument: object, timeout_s: float | None, /) -> int:
        """Asks a tool of the caller; returns the question's number, from 1. Raises CallError as
        send() does; ValueError for a time below 0."""
    def answer(self, question: int, /) -> Any:
        """Waits for the answer, and returns it, once; or raises the tool's error."""
    def ready(self, what: int, /) -> bool:
        """Whether an item (0), room (-1) or the answer to a question (its number) is there, or will
        never be; what asks for it then does not wait. Serves calls that tools make meanwhile."""
    def wait(self, what: int, /) -> None:
        """Waits until ready(what)."""
    def announce(self, what: int, /) -> float:
        """For who waits by itself: Worker.event_fd tells, once, that ready(what) may have changed
        after this. Returns how many seconds later to look at it at the latest."""

class _Sessions(Protocol):
    def open(self, name: str, deadline: float | None, /) -> Session: ...
    def close(self, session: Session, succeeded: bool, /) -> None: ...
    def alarm(self) -> None: ...

@final
class SessionTable:
    """The pool's sessions (client_lib/shm/session_table.h). A session is at (index, incarnation).

    A standing says where its state is: 0 nowhere, 1 at this worker, 2 at another, 3 lost. An index
    beyond the table raises IndexError.
    """

    def open(self, name: str, /) -> tuple[int, int]:
        """The session of this name, made if need be. Raises Failure."""
    def find(self, name: str, /) -> tuple[int, int] | None:
        """The same; None when there is none. Raises Failure."""
    def look(self, index: int, incarnation: int, /) -> tuple[int, int] | None:
        """(word, standing) now; None when that session has ended."""
    def declare_lost(self, index: int, word: int, /) -> bool:
        """The state is gone; True for the one caller that is to tell it."""
    def hold(self, index: int, word: int, /) -> bool:
        """This worker has the state from now on; False when the word is another by now."""
    def end(self, index: int, word: int, /) -> bool:
        """Ends the session; False when the word is another by now."""
    def calls(self, index: int, /) -> int:
        """How many calls of the session have ended."""
    # In this class, list is its method.
    def due(self, ttl_s: float, /) -> tuple[builtins.list[tuple[str, int, int]], float | None]:
        """(name, index, incarnation) of those unused for so long; seconds until the next is, None
        when there is none."""
    def list(self) -> builtins.list[tuple[str, float, float, int]]:
        """(name, created in seconds since 1970, seconds unused, standing) of each."""

@final
class Call:
    """A call that a worker serves, beside others. Ends exactly once, on any thread: by reply(),
    fail() or run(), or with INTERNAL when the object dies without. Those, argument and context
    raise RuntimeError when it has ended already."""

    @property
    def key(self) -> int:
        """Names the call, as Worker.running does."""
    @property
    def method(self) -> str: ...
    @property
    def handler(self) -> Callable[..., Any]: ...
    @property
    def wants_context(self) -> bool: ...
    @property
    def argument(self) -> Any:
        """The request. Whoever still has a view of it when the call ends makes it be copied."""
    @property
    def context(self) -> Context: ...
    @property
    def session(self) -> str | None:
        """The name of its session; None when it has none, and when the call has ended."""
    @property
    def attended(self) -> bool:
        """Whether its caller reads or writes a stream, or has tools."""
    def reply(self, result: object, /) -> None:
        """Ends the call with what the handler returned; with an error if that cannot be sent."""
    def fail(self, exception: BaseException, /) -> None:
        """Ends the call with this exception, as if the handler had raised it."""
    def run(self) -> None:
        """Calls the handler here and now, and ends the call: reply(handler(argument)), or fail(),
        without Python code in between and without a view that is left."""

@final
class TableSchema:
    """A type of users' FlatBuffers tables (client_lib/shm/table_schema.h)."""

    def __init__(
        self,
        binary_schema: Buffer,
        root: str | None,
        opener: Callable[[memoryview, int], Any] | None,
        /,
    ) -> None:
        """``root`` names the tables' type, None for the schema's own. A handler gets
        opener(view, 0); without one, the view. Raises Failure."""
    @property
    def root(self) -> str:
        """The fully qualified name of the tables' type."""
    def verify(self, table: Buffer, /) -> None:
        """Raises Failure where it is no finished table of this type."""

class Worker:
    """A seat in a pool. serve() belongs to one thread, watch() to another, and pulse() to a third;
    drain() and stop() may be called by any meanwhile. Times are seconds, not below 0 (ValueError);
    None is no bound."""

    def __init__(
        self, socket_fd: int, seat_socket_fd: int, name: str, timeout_s: float, /
    ) -> None:
        """Joins the pool at the other end of the first socket; later supervisors connect to the
        second, -1 for none. Owns both descriptors from then on. Raises Failure."""
    @property
    def pool(self) -> str: ...
    @property
    def seat(self) -> int:
        """Its place in its pool, from 0."""
    @property
    def generation(self) -> int:
        """Grows with each worker on this seat."""
    @property
    def running(self) -> int:
        """Names the call that runs, of several the one that has run the longest; 0 when none
        does."""
    def publish(
        self,
        methods: list[
            tuple[
                str,
                Callable[..., Any],
                bool,
                bool,
                bool,
                TableSchema | None,
                TableSchema | None,
            ]
        ],
        runtime: str,
        timeout_s: float,
        /,
    ) -> None:
        """Says Ready with (name, handler, wants_context, broadcast_only, takes_calls,
        request_table, reply_table) of each, and waits until it is published. A handler that takes
        calls is called as handler(call), and ends it. Raises Failure."""
    def fail_setup(self, python_type: str, message: str, traceback: str, /) -> None:
        """Tells the supervisor that setting up has failed. Raises Failure."""
    def serve(self) -> None:
        """After prepare(). Serves calls until drained or stopped; raises what a signal's handler
        raises."""
    def prepare(
        self,
        describe: Callable[[BaseException], tuple[int, bool, str, str, str]],
        no_such_method: Callable[[str], str],
        sessions: _Sessions,
        /,
    ) -> None:
        """What serving needs of Python; before the first call is served."""
    def next_call(self, method: str | None = None, /) -> Call | None:
        """The next call that is requested, or that is of this method. Never blocks; None when
        there is none, or when it has been answered already (an unknown method, a bad frame)."""
    def reconsider(self) -> None:
        """What next_call() passed over because of its method is to be looked at again."""
    def wait_for_call(self, timeout_s: float, /) -> None:
        """Waits for a request, on the one thread that serves."""
    def share(self) -> None:
        """Before serving: several threads will, or a loop. What follows, up to interrupts, is for
        those. Raises Failure."""
    def serve_beside_others(self) -> None:
        """serve() on one of several threads; signals and alarms are for another to attend to."""
    def attend(self, seen: int, timeout_s: float | None, /) -> None:
        """Returns when there were more interrupts than ``seen``, or after the time. Raises what a
        signal's handler raises."""
    def nudge(self) -> None:
        """Interrupts all that wait."""
    def listen(self) -> None:
        """Makes ``event_fd`` readable for each request or interrupt, until end_listening()."""
    def end_listening(self) -> None: ...
    def heard(self) -> None:
        """Empties ``event_fd``. Look at what there is after that."""
    @property
    def event_fd(self) -> int:
        """Readable when heard() has something to tell."""
    @property
    def interrupts(self) -> int:
        """How many there were, for attend()."""
    @property
    def pending(self) -> bool:
        """Whether next_call() might find something."""
    @property
    def stopped(self) -> bool:
        """Whether no call may be started any more."""
    @property
    def draining(self) -> bool:
        """Whether it leaves when nothing is left to serve."""
    @property
    def may_leave(self) -> bool:
        """Whether serving is over when no call runs any more."""
    @property
    def sessions(self) -> SessionTable: ...
    def set_alarm(self, after_s: float | None, /) -> None:
        """serve() calls alarm() of its sessions then, between calls; None for not at all."""
    def watch(self, wake_fd: int, patience_s: float | None, stay_for_clients: bool, /) -> None:
        """Drains when the supervisor says so, and meets the next one when it is gone. Returns when
        there has been none for that long, and no client if the worker is to stay for one. Bytes at
        wake_fd make serve() look at signals."""
    def pulse(self, cancel: Callable[[int], bool], /) -> None:
        """Until end_pulse(): calls cancel(key) for each running call that was abandoned, again
        after a second when it returned False. The key is as Worker.running has it, but for its
        lowest 16 bits, the method, which are 0."""
    def end_pulse(self) -> None: ...
    def settings(
        self,
    ) -> list[tuple[str, str, int, bool, tuple[int, bool, str, str, str] | None]]:
        """(key, method, epoch, retracted, error) of the pool's settings as this worker made them;
        an error is what errors.describe() returns."""
    def drain(self) -> None:
        """Makes serve() return when nothing is left to serve."""
    def stop(self) -> None:
        """Makes serve() return after the running call."""
    def disown(self) -> None:
        """Makes this process, a fork, unable to serve."""
    def goodbye(self) -> None:
        """Tells the supervisor, if there is one, that everything is released."""

def dlpack_capsule(array: Buffer, /) -> Any:
    """A capsule "dltensor" over the buffer's memory. Raises BufferError for what is no tensor."""

def settle_for_fork() -> None:
    """Calls the handlers that libraries have for fork(), once; these end threads that they can
    start again."""

def refuse_forks(socket_fd: int, message: str, /) -> None:
    """Tells a template's supervisor why no worker can be forked."""

def fork_workers(socket_fd: int, refusal: Callable[[], str | None], /) -> list[str] | None:
    """Forks a worker each time that the supervisor says so. Returns its arguments in each worker;
    None in the template, when the supervisor has closed the socket, or was told what refusal()
    returned: it is asked before every fork."""

def to_flexbuffers(value: object, /) -> bytes:
    """Raises Failure, REPLY_NOT_CONVERTIBLE for what is no value."""

def from_flexbuffers(buffer: Buffer, /) -> Any:
    """Raises Failure, BAD_FRAME for bytes that hold no value."""
