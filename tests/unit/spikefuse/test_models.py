"""Fusion models: state, causality, absence, the dense twin's shape."""

import pytest
import torch

from spikefuse.baselines import DenseFusion, event_frames
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.events import EventStream
from spikefuse.models import FusionSNN, ModelSpec, running_mean


def spec(fusion: str = "concat") -> ModelSpec:
    vision = ModalitySpec("vision", (8, 8, 2), EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12))
    audio = ModalitySpec("audio", (9, 1, 1), EncoderSpec((ConvSpec(2, (1, 3), (1, 2)),), 10))
    return ModelSpec((vision, audio), 5, 10.0, fusion, fusion_hidden=11)


def inputs(n_steps: int = 12, density: float = 0.2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        name: (torch.rand(n_steps, 2, n, generator=generator) < density).float()
        for name, n in (("vision", 128), ("audio", 9))
    }


@pytest.fixture(params=["concat", "late"])
def model(request: pytest.FixtureRequest) -> FusionSNN:
    torch.manual_seed(2)
    return FusionSNN(spec(request.param)).eval()


def test_chunks_with_state_equal_the_whole(model: FusionSNN) -> None:
    x = inputs()
    whole = model(x)
    first = model({name: part[:5] for name, part in x.items()})
    second = model({name: part[5:] for name, part in x.items()}, first.state)
    torch.testing.assert_close(torch.cat([first.scores, second.scores]), whole.scores)
    assert torch.equal(torch.cat([first.hidden, second.hidden]), whole.hidden)


def test_outputs_do_not_depend_on_later_inputs(model: FusionSNN) -> None:
    x = inputs()
    edited = {name: part.clone() for name, part in x.items()}
    edited["audio"][7:] = 1 - edited["audio"][7:]
    before, after = model(x), model(edited)
    torch.testing.assert_close(before.scores[:7], after.scores[:7])
    assert not torch.equal(before.scores[7:], after.scores[7:])


def test_initial_network_is_not_silent(model: FusionSNN) -> None:
    out = model(inputs())
    assert 0.005 < out.hidden.mean() < 0.6


def test_an_absent_modality_is_an_empty_stream(model: FusionSNN) -> None:
    x = inputs()
    x["audio"] = torch.zeros_like(x["audio"])
    out = model(x)
    assert out.encoded["audio"].sum() == 0
    assert out.encoded["vision"].sum() > 0
    with pytest.raises(ValueError, match="an absent modality is an empty stream"):
        model({"vision": x["vision"]})


def test_gradients_reach_every_parameter(model: FusionSNN) -> None:
    model.train()
    running_mean(model(inputs(density=0.4)).scores)[-1].square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_running_mean_by_hand() -> None:
    scores = torch.tensor([[[1.0]], [[3.0]], [[8.0]]])
    assert running_mean(scores).flatten().tolist() == [1.0, 2.0, 4.0]


def test_the_dense_twin_has_the_same_layers() -> None:
    frame_ms = {"vision": 50.0, "audio": 20.0}
    twin = DenseFusion(spec(), frame_ms, 100.0)
    convolutions = [m for m in twin.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(4, 3), (5, 2)]
    out = twin({"vision": torch.rand(2, 4, 8, 8), "audio": torch.rand(2, 5, 1, 9)})
    assert out.shape == (2, 5)


def test_frames_hold_every_event_of_the_window(make_stream) -> None:
    streams = [make_stream(300, duration_us=90_000), EventStream.empty((8, 6, 2), 10, "vision")]
    frames = torch.expm1(event_frames(streams, 20.0, 90.0))
    assert frames.shape == (2, 10, 6, 8)
    assert frames[0].sum().item() == pytest.approx(300, rel=1e-5)
    assert frames[1].sum() == 0
    early = torch.expm1(event_frames(streams, 20.0, 40.0))
    torch.testing.assert_close(early[0], frames[0, :4])


def test_bad_specs_are_refused() -> None:
    part = ModalitySpec("vision", (4, 4, 1), EncoderSpec())
    with pytest.raises(ValueError, match="distinct names"):
        ModelSpec((part, part), 2, 5.0)
    with pytest.raises(ValueError, match=r"fusion must be one of .*'concat'.*, got 'konkat'.*mean"):
        ModelSpec((part,), 2, 5.0, "konkat")
    with pytest.raises(
        ValueError, match=r"options of 'concat' must be among .*'gain'.*, got 'gian"
    ):
        ModelSpec((part,), 2, 5.0, fusion_options={"gian": 1.0})
