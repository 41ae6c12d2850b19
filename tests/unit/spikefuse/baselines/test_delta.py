"""Delta evaluation: the model's own answers, at the cost of what changed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikefuse.baselines import Anytime, DeltaFusion, DenseFusion
from spikefuse.baselines.delta import DeltaLayer
from spikefuse.cost import count

Make = Callable[..., DenseFusion]
TIMES_MS = [20.0, 40.0, 60.0, 80.0, 100.0]


@pytest.mark.parametrize("name", ["early", "concat", "late", "gated", "residual"])
def test_answers_are_those_of_the_model_run_again(
    name: str, make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense(name)
    delta = DeltaFusion(model).eval()
    torch.testing.assert_close(delta.anytime(frames, TIMES_MS), model.anytime(frames, TIMES_MS))


def test_the_first_layer_pays_for_every_event_once(
    make_dense: Make, frames: dict[str, Tensor]
) -> None:
    model = make_dense("concat")
    again = count(Anytime(model, TIMES_MS), frames).by_path
    delta = count(Anytime(DeltaFusion(model), TIMES_MS), frames).by_path
    whole = count(model, frames).by_path
    for name in ("vision", "audio"):
        first = f"model.encoders.{name}.0"
        assert delta[f"model.{first}.product"].effective_macs == (
            whole[f"encoders.{name}.0"].effective_macs
        )
        assert again[first].effective_macs > 1.4 * whole[f"encoders.{name}.0"].effective_macs


def test_nothing_new_costs_nothing(make_dense: Make, frames: dict[str, Tensor]) -> None:
    delta = DeltaFusion(make_dense("gated"))
    _, state = delta(frames)
    counts = count(delta, (frames, state))
    products = [p for k, p in counts.by_path.items() if k.endswith(("product", "sum"))]
    assert products
    assert sum(p.effective_macs + p.effective_acs for p in products) == 0


def test_changes_below_the_threshold_wait_until_they_add_up() -> None:
    layer = DeltaLayer(torch.nn.Linear(1, 1, bias=False), threshold=0.5)
    with torch.no_grad():
        layer.product.weight.fill_(2.0)
    answers = []
    for value in (1.0, 1.3, 1.6, 1.0):
        answers.append(layer(torch.tensor([[value]])).item())
        layer.before = layer.after
    assert answers == pytest.approx([2.0, 2.0, 3.2, 2.0])


def test_a_stream_keeps_inputs_and_sums(make_dense: Make, frames: dict[str, Tensor]) -> None:
    delta = DeltaFusion(make_dense("late"))
    vision = (256 + 27) + (27 + 12) + (12 + 5)
    audio = (45 + 8) + (8 + 10) + (10 + 5)
    assert delta.state_bytes(frames) == 4 * (vision + audio)


def test_models_that_read_frame_after_frame_are_refused(make_dense: Make) -> None:
    with pytest.raises(ValueError, match="frame after frame"):
        DeltaFusion(make_dense("gru"))
    with pytest.raises(ValueError, match="threshold must be >= 0"):
        DeltaFusion(make_dense("concat"), -0.1)
