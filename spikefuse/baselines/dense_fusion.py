"""DenseFusion: the frame-based twin of a FusionSNN, built from the same spec."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikefuse.baselines.frames import n_frame_channels
from spikefuse.encoders.spec import ModalitySpec
from spikefuse.models.spec import ModelSpec


class DenseFusion(nn.Module):
    """The same topology with ReLU units on frames: the honest opponent.

    Every layer of the spiking model has one here of the same kind and width. Time, which the
    spiking model keeps in its membranes, is laid out as input channels of the first layer, so the
    twin sees the whole window at once.

    Parameters
    ----------
    spec : ModelSpec
    frame_ms : mapping of modality to the length of its frames
    window_ms : float
        How much of the sample it waits for.
    """

    def __init__(self, spec: ModelSpec, frame_ms: Mapping[str, float], window_ms: float) -> None:
        super().__init__()
        self.spec, self.window_ms, self.frame_ms = spec, window_ms, dict(frame_ms)
        self.modalities = tuple(m.name for m in spec.modalities)
        self.encoders = nn.ModuleDict(
            {m.name: _encoder(m, frame_ms[m.name], window_ms) for m in spec.modalities}
        )
        n_features = sum(m.encoder.hidden for m in spec.modalities)
        self.fusion = nn.Sequential(
            nn.Linear(n_features, spec.fusion_hidden),
            nn.ReLU(),
            nn.Dropout(max(m.encoder.dropout for m in spec.modalities)),
        )
        self.readout = nn.Linear(spec.fusion_hidden, spec.n_classes)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Frames ``{modality: [B, F * P, H, W]}`` to class scores ``[B, n_classes]``."""
        features = [self.encoders[name](inputs[name]) for name in self.modalities]
        scores: Tensor = self.readout(self.fusion(torch.cat(features, dim=1)))
        return scores


def _encoder(spec: ModalitySpec, frame_ms: float, window_ms: float) -> nn.Sequential:
    """Convolutions as in the spec, then its hidden layer, all with ReLU and dropout."""
    width, height, polarities = spec.sensor_size
    channels = n_frame_channels(polarities, frame_ms, window_ms)
    layers: list[nn.Module] = []
    for conv in spec.encoder.convs:
        layers += [nn.Conv2d(channels, conv.channels, conv.kernel, conv.stride), nn.ReLU()]
        channels = conv.channels
        height = (height - conv.kernel[0]) // conv.stride[0] + 1
        width = (width - conv.kernel[1]) // conv.stride[1] + 1
    layers += [
        nn.Flatten(),
        nn.Dropout(spec.encoder.dropout),
        nn.Linear(channels * height * width, spec.encoder.hidden),
        nn.ReLU(),
        nn.Dropout(spec.encoder.dropout),
    ]
    return nn.Sequential(*layers)
