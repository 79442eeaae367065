"""Values of every kind that goes to FlexBuffers and back, and whether two of them are the same."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(blacklist_categories=["Cs"]))
# FlexBuffers end keys with a NUL.
keys = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
)


def values(max_leaves: int) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
        max_leaves=max_leaves,
    )


def same(a: Any, b: Any) -> bool:
    """Equal, with equal types all through: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b
