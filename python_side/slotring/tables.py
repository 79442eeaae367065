"""Tables of a FlatBuffers schema of the user's, as requests and replies of handlers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slotring import _native

if TYPE_CHECKING:
    from pathlib import Path


class Table:
    """A type of tables, for ``@slotring.handler(request=..., reply=...)``. See :func:`table`."""

    __slots__ = ("schema",)

    def __init__(self, schema: _native.TableSchema):
        self.schema = schema

    @property
    def type_name(self) -> str:
        """The fully qualified name, as callers send it."""
        return self.schema.root

    def __repr__(self) -> str:
        return f"<slotring table {self.type_name}>"


def table(
    schema: str | Path, /, *, root: str | None = None, accessor: type | None = None
) -> Table:
    """The tables of a binary schema, as ``flatc -b --schema FILE.fbs`` writes it.

    ``schema`` is its path; a relative one begins at the folder of the module that calls this.
    ``root`` names the tables' type in full, e.g. "shop.Order"; by default it is the schema's
    root_type. A handler gets ``accessor.GetRootAs(view, 0)``, where ``accessor`` is the class that
    ``flatc --python`` has generated (which needs the package flatbuffers), and without one a
    memoryview of the buffer.

    Each request is copied and verified before the handler sees it. Buffers that the schema declares
    as ``nested_flatbuffer`` are verified too where it was made with ``--bfbs-builtins``; other
    bytes, FlexBuffers among them, are bytes.

    Raises FileNotFoundError; ValueError for a file that is no binary schema or has no such table;
    TypeError for an accessor that is none.
    """
    opener: Callable[[memoryview, int], Any] | None = None
    if accessor is not None:
        opener = getattr(accessor, "GetRootAs", None)
        if not callable(opener):
            raise TypeError(
                f"{accessor!r} is no accessor: flatc --python generates a class with GetRootAs()"
            )
    from pathlib import Path  # two milliseconds of a worker's start

    path = Path(schema)
    if not path.is_absolute():
        module_file = sys._getframe(1).f_globals.get("__file__")
        path = (Path(module_file).parent if module_file else Path.cwd()) / path
    try:
        binary = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no schema {str(path)!r}; flatc -b --schema writes one of a .fbs file"
        ) from None
    try:
        return Table(_native.TableSchema(binary, root, opener))
    except _native.Failure as failure:
        raise ValueError(f"{str(path)!r}: {failure.args[0]}") from None
