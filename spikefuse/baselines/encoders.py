"""Dense encoders of one modality: of a whole window at once, or of one frame after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikefuse.baselines.frames import n_frame_channels
from spikefuse.encoders.spec import ModalitySpec


def window_encoder(spec: ModalitySpec, frame_ms: float, window_ms: float) -> nn.Sequential:
    """All frames of the window as input channels, ``[B, F * P, H, W]`` to ``[B, hidden]``."""
    return _encoder(spec, n_frame_channels(spec.sensor_size[2], frame_ms, window_ms))


def frame_encoder(spec: ModalitySpec) -> nn.Sequential:
    """One frame, ``[B, P, H, W]`` to ``[B, hidden]``; the same weights serve every frame.

    Features are normalised per frame, as in front of attention in Tsai et al. (arXiv:1906.00295):
    a short frame holds few events, and features that are small beside the waves that tell a
    frame's time are not learned. Weights start as He et al. (arXiv:1502.01852) have it. Dropout is
    left to `held_dropout`: drawn anew for every frame it is noise that the operator cannot learn
    through.
    """
    layers = [layer for layer in _encoder(spec, spec.sensor_size[2]) if not _drops(layer)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, nn.LayerNorm(spec.encoder.hidden))


def held_dropout(x: Tensor, share: float) -> Tensor:
    """Dropout of features ``[B, F, n]`` with one mask for all frames of a sample.

    References
    ----------
    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NIPS 2016, arXiv:1512.05287.
    """
    return x * torch.nn.functional.dropout(torch.ones_like(x[:, :1]), share)


def _drops(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Dropout)


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
