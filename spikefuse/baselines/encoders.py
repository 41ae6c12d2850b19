"""Dense encoders of one modality: of a whole window at once, or of one frame after the other."""

from __future__ import annotations

from torch import nn

from spikefuse.baselines.frames import n_frame_channels
from spikefuse.encoders.spec import ModalitySpec


def window_encoder(spec: ModalitySpec, frame_ms: float, window_ms: float) -> nn.Sequential:
    """All frames of the window as input channels, ``[B, F * P, H, W]`` to ``[B, hidden]``."""
    return _encoder(spec, n_frame_channels(spec.sensor_size[2], frame_ms, window_ms))


def frame_encoder(spec: ModalitySpec) -> nn.Sequential:
    """One frame, ``[B, P, H, W]`` to ``[B, hidden]``; the same weights serve every frame."""
    return _encoder(spec, spec.sensor_size[2])


def _encoder(spec: ModalitySpec, channels: int) -> nn.Sequential:
    """Convolutions as in the spec, then its hidden layer, all with ReLU and dropout."""
    width, height, _ = spec.sensor_size
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
