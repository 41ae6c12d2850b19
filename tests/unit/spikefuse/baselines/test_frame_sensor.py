"""Networks on true frames, and what makes networks on short event frames learn."""

from dataclasses import replace

import pytest
import torch

from spikefuse.baselines import DenseFusion, frame_sensor_spec, n_parameters
from spikefuse.baselines.encoders import frame_encoder, held_dropout
from spikefuse.baselines.selection import spec_of_size
from spikefuse.cost import count
from spikefuse.encoders.spec import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.models import ModelSpec

VISION = ModalitySpec("vision", (34, 34, 2), EncoderSpec((ConvSpec(4, (5, 5), (3, 3)),), 12))
AUDIO = ModalitySpec("audio", (64, 1, 1), EncoderSpec((), 12, delays_ms=(0.0, 20.0)))
SPEC = ModelSpec((VISION, AUDIO), 10, 10.0, "concat", 16)
SIZES = {"vision": (28, 28, 1), "audio": (26, 24, 1)}


def build(spec: ModelSpec, operator: str = "concat") -> DenseFusion:
    return DenseFusion(spec, dict.fromkeys(("vision", "audio"), 400.0), 400.0, operator)


@pytest.mark.parametrize("operator", ["concat", "gated"])
def test_a_picture_and_a_spectrogram_are_read(operator: str) -> None:
    model = build(frame_sensor_spec(SPEC, SIZES), operator)
    inputs = {"vision": torch.rand(3, 1, 28, 28), "audio": torch.randn(3, 1, 24, 26)}
    assert model(inputs).shape == (3, 10)
    counts = count(model, inputs)
    assert counts.effective_macs > 0
    assert all(path.kind == "dense" for path in counts.by_path.values())


def test_its_first_layer_is_counted_as_by_hand() -> None:
    model = build(frame_sensor_spec(SPEC, SIZES))
    inputs = {"vision": torch.full((1, 1, 28, 28), 0.5), "audio": torch.full((1, 1, 24, 26), 0.5)}
    paths = count(model, inputs).by_path
    assert paths["encoders.vision.0"].effective_macs == 8 * 8 * 25 * 4
    assert paths["encoders.audio.0"].effective_macs == 10 * 11 * 25 * 8


def test_the_spec_needs_no_delays_and_can_be_scaled() -> None:
    spec = frame_sensor_spec(replace(SPEC, fusion="current_sum"), SIZES)
    assert spec.fusion == "concat"
    assert all(part.encoder.delays_ms == (0.0,) for part in spec.modalities)
    assert n_parameters(build(spec_of_size(spec, 20_000, build))) == pytest.approx(20_000, rel=0.05)


def test_a_modality_without_a_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"none for \['audio'\]"):
        frame_sensor_spec(SPEC, {"vision": (28, 28, 1)})


def test_dropout_is_held_over_the_frames_of_a_sample() -> None:
    torch.manual_seed(0)
    kept = held_dropout(torch.ones(4, 7, 50), 0.5)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(kept[0], kept[1])


def test_frames_with_few_events_give_features_as_large_as_others() -> None:
    encoder = frame_encoder(VISION)
    frame = torch.rand(1, 2, 34, 34)
    faint, bright = encoder(0.01 * frame), encoder(frame)
    torch.testing.assert_close(faint, bright, atol=0.2, rtol=0.1)
    assert float(bright.std()) == pytest.approx(1.0, abs=0.1)


def test_a_stream_model_drops_in_training_alone() -> None:
    model = DenseFusion(SPEC, {"vision": 100.0, "audio": 50.0}, 400.0, "gru")
    inputs = {"vision": torch.rand(2, 8, 34, 34), "audio": torch.rand(2, 8, 1, 64)}
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))
