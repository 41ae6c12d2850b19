"""A small spec of two modalities and frames for it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikefuse.baselines import DenseFusion
from spikefuse.encoders import ConvSpec, EncoderSpec, ModalitySpec
from spikefuse.models import ModelSpec

FRAME_MS = {"vision": 50.0, "audio": 20.0}


@pytest.fixture
def spec() -> ModelSpec:
    vision = ModalitySpec("vision", (8, 8, 2), EncoderSpec((ConvSpec(3, (3, 3), (2, 2)),), 12))
    audio = ModalitySpec("audio", (9, 1, 1), EncoderSpec((ConvSpec(2, (1, 3), (1, 2)),), 10))
    return ModelSpec((vision, audio), 5, 10.0, "concat", fusion_hidden=11)


@pytest.fixture
def make_dense(spec: ModelSpec) -> Callable[..., DenseFusion]:
    """Factory of dense models on a window of 100 ms, in evaluation mode."""

    def make(fusion: str = "concat", **options: int) -> DenseFusion:
        torch.manual_seed(3)
        return DenseFusion(spec, FRAME_MS, 100.0, fusion, options).eval()

    return make


@pytest.fixture
def frames() -> dict[str, Tensor]:
    """Two samples, about half of the cells empty."""
    generator = torch.Generator().manual_seed(5)
    shapes = {"vision": (2, 4, 8, 8), "audio": (2, 5, 1, 9)}
    return {
        name: torch.relu(torch.randn(shape, generator=generator)) for name, shape in shapes.items()
    }
