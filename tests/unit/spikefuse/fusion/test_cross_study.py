"""The planted-delay study: its generators by construction, its tables, (slow) what it proves."""

import pytest
import torch

from experiments.studies.delay import DelayProtocol, learn_delays, main, planted_pairs
from experiments.studies.window import WindowProtocol, area, learn_windows, planted_windows


def test_planted_delay_stands_out_in_label_one_only() -> None:
    p = DelayProtocol(delays=(7, 30), n_inits=2, jitter=0.0)
    a, b, label = planted_pairs(p, 300, torch.Generator().manual_seed(0))
    assert a.shape == b.shape == (400, 300, 4)
    for unit, planted in enumerate((7, 7, 30, 30)):
        for wanted in (0.0, 1.0):
            rows = label[:, unit] == wanted
            pairs = [
                float((a[:, rows, unit] * b[:, rows, unit].roll(-d, 0)).mean()) for d in range(60)
            ]
            others = sum(x for d, x in enumerate(pairs) if d != planted) / 59
            ratio = pairs[planted] / others
            assert (ratio > 5) if wanted else (ratio < 1.5)
    for rate in (a.mean(), b.mean()):  # of 20 Hz signal and 20 Hz distractors
        assert float(rate) == pytest.approx(1 - 0.98**2, rel=0.05)


@pytest.mark.parametrize("far", [False, True])
def test_planted_windows_hold_their_offsets(far: bool) -> None:
    p = WindowProtocol(n_inits=2, n_pairs=1, distractor_hz=0.0)
    a, b, label = planted_windows(p, 400, torch.Generator().manual_seed(0), far)
    lag = (b.argmax(0) - a.argmax(0) + 250) % 500 - 250
    assert bool((a.sum(0) == 1).all())
    assert bool((lag[label > 0].abs() <= 8).all())
    other = lag[label == 0].abs()
    assert bool((other == 16).all()) if far else float((other > 8).float().mean()) > 0.9


def test_area_under_the_curve_by_hand() -> None:
    score, label = torch.tensor([1.0, 2.0, 2.0, 3.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert area(score, label) == (2 + 1.5) / 4


def test_results_need_a_file() -> None:
    with pytest.raises(SystemExit):
        main([])


@pytest.mark.slow
def test_planted_delays_are_found_and_not_by_controls() -> None:
    p = DelayProtocol(delays=(5, 40), n_inits=10, n_batch=96)
    learned = learn_delays(p, "learned", seed=3)["cells"]
    assert min(cell["recovered"] for cell in learned) >= 9
    frozen = learn_delays(p, "frozen", seed=3)["cells"]
    assert max(cell["recovered"] for cell in frozen) <= 2
    for ours, control in zip(learned, frozen, strict=True):
        assert ours["accuracy"] > control["accuracy"] + 0.05


@pytest.mark.slow
def test_a_planted_half_width_is_found() -> None:
    found = learn_windows(WindowProtocol(n_inits=6, n_batch=96, n_test=1000), seed=3)
    assert found["within_1_5x"] == 6
    assert sum(found["auc"]) / 6 >= 0.95
    assert min(found["auc"]) >= sum(found["auc_planted"]) / 6 - 0.02
