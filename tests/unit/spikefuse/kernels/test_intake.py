"""Events checked and put on the model's clock: the compiled pass and its definition."""

import numpy as np
import pytest

from spikefuse.errors import EventError
from spikefuse.events import EVENT_DTYPE
from spikefuse.kernels.intake import intake

SIZE = (7, 5, 2)


def events_of(n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 10**7, n))
    events["x"], events["y"] = rng.integers(0, 7, n), rng.integers(0, 5, n)
    events["p"] = rng.integers(0, 2, n)
    return events


@pytest.mark.parametrize("dt_ms", [1.0, 100 / 3, 4.03, 0.0125])
def test_the_compiled_pass_is_the_definition(dt_ms: float) -> None:
    events = events_of()
    for given in (events, events[::2], events[:0]):
        expected = intake(given, SIZE, dt_ms, "vision", backend="reference")
        assert np.array_equal(intake(given, SIZE, dt_ms, "vision", backend="numba"), expected)
    assert events.flags.writeable


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("t", -1, "'t' must"), ("x", 7, "'x' must"), ("y", -3, "'y' must"), ("t", 10**9, "decrease")],
)
def test_what_is_wrong_is_named(backend: str, field: str, value: int, told: str) -> None:
    events = events_of()
    events[field][0 if value == -1 else 100] = value
    with pytest.raises(EventError, match=told):
        intake(events, SIZE, 1.0, "vision", backend=backend)
