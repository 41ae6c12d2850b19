"""What an encoder is made of; shared by the spiking model and its dense twin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvSpec:
    """One convolutional layer: output channels and, in (rows, columns), kernel and stride."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True)
class EncoderSpec:
    """Encoder of one modality: convolutions (none = purely linear), then ``hidden`` neurons.

    ``delays_ms`` are the conduction delays of the synapses onto the hidden neurons, whole steps
    each. The dense twin needs none: it sees all of the past side by side. With ``recurrent`` the
    hidden neurons drive each other one step later. A ``frozen`` encoder is not trained: its weights
    stay as they are initialised or loaded, and its dropout off.

    Parameters
    ----------
    convs : tuple of ConvSpec
    hidden : int
    dropout : float
        Of the hidden neurons' spikes, in training.
    delays_ms : tuple of float
    recurrent, frozen : bool
    """

    convs: tuple[ConvSpec, ...] = ()
    hidden: int = 128
    dropout: float = 0.2
    delays_ms: tuple[float, ...] = (0.0,)
    recurrent: bool = False
    frozen: bool = False

    def delays_steps(self, dt_ms: float) -> tuple[int, ...]:
        """The delays in steps of ``dt_ms``.

        Raises
        ------
        ValueError
            If one is no whole number of steps.
        """
        steps = tuple(round(delay / dt_ms) for delay in self.delays_ms)
        for delay, step in zip(self.delays_ms, steps, strict=True):
            if abs(delay - step * dt_ms) > 1e-6 * dt_ms:
                raise ValueError(
                    f"delays_ms must be whole steps of dt_ms={dt_ms:g}, got {delay:g} ms"
                )
        return steps


@dataclass(frozen=True)
class ModalitySpec:
    """A modality's name, its sensor size (W, H, P) and its encoder."""

    name: str
    sensor_size: tuple[int, int, int]
    encoder: EncoderSpec

    @property
    def n_inputs(self) -> int:
        """Flat number of addresses."""
        width, height, polarities = self.sensor_size
        return width * height * polarities
