"""Decision: what a model says of the stream so far; and how scores become decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from spikefuse._types import FloatArray

Evidence = Literal["mean", "score"]


@dataclass(frozen=True, eq=False)
class Decision:
    """An answer.

    Parameters
    ----------
    step : int
        Last step that it has seen, from the start of the stream.
    time_us : int
        End of that step on the stream's clock.
    label : int
        Class of the most evidence.
    evidence : float array [C]
        Mean of the scores since the start or the last restart, or the latest scores.
    n_steps : int
        Steps since the start or the last restart.
    """

    step: int
    time_us: int
    label: int
    evidence: FloatArray
    n_steps: int


class Policy(Protocol):
    """What happens after a decision; see `StreamRunner`."""

    def restart(self, decision: Decision) -> bool:
        """Whether the model and its evidence start from rest after this decision."""
        ...


class EvidenceSum:
    """Evidence over steps, in float64: it must not lose its digits in an hour.

    Parameters
    ----------
    n_classes : int
    kind : "mean" or "score"
        The mean of the scores so far, as `running_mean`, or each step's own.
    every : int
        Steps between two decisions.
    step_us : float
    """

    def __init__(self, n_classes: int, kind: Evidence, every: int, step_us: float) -> None:
        if kind not in ("mean", "score"):
            raise ValueError(f"evidence must be 'mean' or 'score', got {kind!r}")
        if every < 1:
            raise ValueError(f"decisions must be at least one step apart, got {every}")
        self.kind, self.every, self.step_us = kind, every, step_us
        self.total = np.zeros(n_classes)
        self.n_steps = 0

    def reset(self) -> None:
        """Nothing seen yet."""
        self.total[:] = 0
        self.n_steps = 0

    @property
    def steps_to_next(self) -> int:
        """Steps until the next decision."""
        return self.every - self.n_steps % self.every

    def add(self, first: int, scores: Tensor) -> list[Decision]:
        """Scores [K, C] of the steps from ``first`` on; the decisions due in them."""
        given = scores.detach().double().cpu().numpy()
        totals = self.total + np.cumsum(given, axis=0)
        n = self.n_steps + np.arange(1, len(given) + 1)
        due = np.flatnonzero(n % self.every == 0)
        evidence = given[due] if self.kind == "score" else totals[due] / n[due, None]
        labels = evidence.argmax(1) if len(due) else due
        found = [
            Decision(
                int(first + k), _end_us(int(first + k), self.step_us), int(label), row, int(n[k])
            )
            for k, label, row in zip(due, labels, evidence, strict=True)
        ]
        if len(given):
            self.total, self.n_steps = totals[-1].copy(), int(n[-1])
        return found

    def state(self) -> dict[str, Any]:
        """Plain values of a snapshot; floats in hexadecimal, so that none is rounded."""
        return {"total": [float(x).hex() for x in self.total], "n_steps": self.n_steps}

    def restore(self, plain: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        total = np.array([float.fromhex(x) for x in plain["total"]])
        if total.shape != self.total.shape:
            raise ValueError(f"total must be [{len(self.total)}], got [{len(total)}]")
        self.total, self.n_steps = total, int(plain["n_steps"])


def _end_us(step: int, step_us: float) -> int:
    """First microsecond after a step."""
    return int(np.ceil((step + 1) * step_us))
