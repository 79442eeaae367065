"""What the tests' programs are made of: "programs_of_tests:NAME"."""

from __future__ import annotations

from typing import Any

made = 0


def shout(text: str) -> str:
    return text.upper()


def split(text: str) -> dict[str, Any]:
    return {"words": text.split(), "count": len(text.split())}


def wrong(text: str) -> dict[str, Any]:
    return {"words": "not a list", "count": 1}


def odd(**inputs: Any) -> Any:
    return object()


def fail(text: str) -> str:
    raise ZeroDivisionError(f"cannot {text}")


async def later(text: str) -> str:
    return text


def generate(text: str):
    yield text


not_callable = 3


class FixedEstimator:
    """A stand-in for an estimator of scikit-learn: predicts sums."""

    def predict(self, rows: list[list[float]]) -> list[float]:
        return [sum(row) for row in rows]


fixed_estimator = FixedEstimator()


def make_estimator() -> FixedEstimator:
    return FixedEstimator()
