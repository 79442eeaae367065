"""Functions that the demo's programs are made of: "demo_programs:NAME"."""

from __future__ import annotations


def add(a: int, b: int) -> int:
    return a + b


def shout(text: str) -> str:
    return text.upper()


def split(text: str) -> dict[str, object]:
    words = text.split()
    return {"words": words, "count": len(words)}


def fail(text: str) -> str:
    raise LookupError(f"nothing is known of {text}")


def lie(text: str) -> int:
    return 3  # its signature says that it is a text
