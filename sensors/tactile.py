"""A synthetic tactile sensor: rapidly adapting afferents of a fingertip on vibrating contacts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sensors.cache import cached_recordings
from sensors.recordings import Recording
from spikefuse._types import FloatArray
from spikefuse.events import EVENT_DTYPE, EventStream

Progress = Callable[[int, int], None]
STEP_US = 500
_SPLITS = ("train", "validation", "test")
_AT_ONCE = 64
_CONTACTS = 2
# Flutter, the range in which rapidly adapting afferents are the most sensitive ones.
_FREQUENCIES_HZ = (8.0, 50.0)


@dataclass(frozen=True)
class TactileParams:
    """Skin, afferents and the variety of the recordings.

    Parameters
    ----------
    n_train, n_validation, n_test : int
        Recordings of each split; classes take turns.
    fingers : int
        Fingers of the train split, half as many each in validation and test, all different: each
        has its own sensitivities.
    side : int
        Afferents form a grid of ``side`` x ``side``.
    spacing_mm : float
        1 mm is 100 afferents per square centimetre of fingertip; Johansson and Vallbo 1979 estimate
        140.
    spread_mm : float
        Standard deviation of the skin's deformation around a contact.
    amplitude_um : float
        Mean depth of a contact's vibration, peak to peak; a recording has 0.6 to 1.4 of it.
    jitter_mm : float
        Standard deviation of where the contacts land.
    tau_ms : float
        Time constant of an afferent's membrane.
    drive_hz : float
        Largest drive of the membrane, in thresholds per second.
    half_speed_mm_s : float
        Indentation speed of half that drive.
    refractory_ms : float
    sensitivity_spread : float
        Standard deviation of the logarithm of each afferent's sensitivity.
    background_hz : float
        Rate of random events of each afferent.
    duration_ms : float
    pattern_seed, seed : int
        Of what the classes are, and of the recordings.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    n_train: int = 400
    n_validation: int = 200
    n_test: int = 400
    fingers: int = 8
    side: int = 8
    spacing_mm: float = 1.0
    spread_mm: float = 1.5
    amplitude_um: float = 100.0
    jitter_mm: float = 0.7
    tau_ms: float = 5.0
    drive_hz: float = 1000.0
    half_speed_mm_s: float = 8.0
    refractory_ms: float = 2.0
    sensitivity_spread: float = 0.2
    background_hz: float = 1.0
    duration_ms: float = 400.0
    pattern_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation", "n_test", "fingers", "side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("spacing_mm", "spread_mm", "tau_ms", "half_speed_mm_s", "duration_ms"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            "amplitude_um",
            "jitter_mm",
            "drive_hz",
            "refractory_ms",
            "sensitivity_spread",
            "background_hz",
            "pattern_seed",
            "seed",
        ):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")

    @property
    def n_steps(self) -> int:
        """Steps of `STEP_US` in a recording."""
        return max(1, round(self.duration_ms * 1e3 / STEP_US))

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """Columns, rows, one polarity."""
        return self.side, self.side, 1


@dataclass(frozen=True)
class Contact:
    """One vibrating probe: where it presses (x, y in mm from the pad's corner) and how fast."""

    at_mm: tuple[float, float]
    frequency_hz: float


def class_patterns(n_classes: int, params: TactileParams) -> list[tuple[Contact, ...]]:
    """The truth behind the labels: the contacts of each class.

    Parameters
    ----------
    n_classes : int
    params : TactileParams
        Only the pad's size and ``pattern_seed`` are read.
    """
    rng = np.random.default_rng([params.pattern_seed, n_classes])
    width = (params.side - 1) * params.spacing_mm
    low, high = np.log(_FREQUENCIES_HZ)
    return [
        tuple(
            Contact((float(x), float(y)), float(np.exp(rng.uniform(low, high))))
            for x, y in rng.uniform(0.1 * width, 0.9 * width, (_CONTACTS, 2))
        )
        for _ in range(n_classes)
    ]


def contact_speed(
    contact: Contact, amplitude_um: float, onset_ms: float, phase: float, params: TactileParams
) -> FloatArray:
    r"""How fast a contact presses the skin at every afferent, in mm/s, ``[T, side * side]``.

    .. math:: v_n(t) = \pi f A\, e^{-|p_n - q|^2 / 2 \sigma^2} \sin(2 \pi f t + \varphi)

    the derivative of a depth :math:`A (1 - \cos(2 \pi f t + \varphi)) / 2` after ``onset_ms``.

    Parameters
    ----------
    contact : Contact
    amplitude_um, onset_ms, phase : float
    params : TactileParams
    """
    places = np.arange(params.side) * params.spacing_mm
    x, y = np.meshgrid(places, places)
    square = (x - contact.at_mm[0]) ** 2 + (y - contact.at_mm[1]) ** 2
    reach = np.exp(-square.ravel() / (2 * params.spread_mm**2))
    t_s = (np.arange(params.n_steps) + 0.5) * STEP_US * 1e-6
    angle = 2 * np.pi * contact.frequency_hz * (t_s - onset_ms * 1e-3)
    peak = np.pi * contact.frequency_hz * amplitude_um * 1e-3
    speed = np.where(angle >= 0, peak * np.sin(angle + phase), 0.0)
    found: FloatArray = speed[:, None] * reach
    return found


def afferent_spikes(
    speed: FloatArray,  # [..., T, N]
    sensitivity: FloatArray,  # [..., N]
    params: TactileParams,
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    r"""Spikes ``[..., T, N]`` of rapidly adapting afferents under an indentation speed in mm/s.

    .. math:: \tau \dot u = -u + \tau\, r_{max} \frac{g\, [v]_+}{g\, [v]_+ + v_{half}}, \quad
              u > 1 \Rightarrow \text{spike}, u \to 0

    A transduction that saturates, in front of an integrate-and-fire unit, is the model that Dong et
    al. fit to afferents of monkeys ("A simple model of mechanotransduction in primate glabrous
    skin", J. Neurophysiology 109(5), 2013); here speed alone drives it, so that a held indentation
    is silent and a vibration is followed cycle by cycle (Freeman and Johnson, "Cutaneous
    mechanoreceptors in macaque monkey", J. Physiology 323, 1982,
    doi:10.1113/jphysiol.1982.sp014059). The constants are round numbers, not fits.

    Parameters
    ----------
    speed : float [..., T, N]
        Steps of `STEP_US`.
    sensitivity : float [..., N]
        ``g`` above.
    params : TactileParams
    """
    pressed = np.maximum(speed, 0.0) * sensitivity[..., None, :]
    step_s = STEP_US * 1e-6
    drive = step_s * params.drive_hz * pressed / (pressed + params.half_speed_mm_s)
    decay = np.exp(-STEP_US / (params.tau_ms * 1e3))
    rest = round(params.refractory_ms * 1e3 / STEP_US)
    spikes = np.zeros(speed.shape, np.bool_)
    u = np.zeros(drive[..., 0, :].shape)
    free = np.zeros(u.shape, np.int64)  # the first step in which a unit may charge again
    for t in range(speed.shape[-2]):
        u = np.where(t >= free, decay * u + drive[..., t, :], 0.0)
        fired = u > 1.0
        spikes[..., t, :] = fired
        u[fired] = 0.0
        free[fired] = t + 1 + rest
    return spikes


def load_tactile(
    params: TactileParams,
    n_classes: int,
    modality: str = "tactile",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[Recording], bool]:
    """Recordings of all splits, from the cache or built, and whether the cache had them.

    Parameters
    ----------
    params : TactileParams
    n_classes : int
    modality : str
    cache_dir : Path, optional
    progress : callable (done, total), optional
    """
    import sensors.tactile as this_module

    return cached_recordings(
        {"kind": "tactile", "classes": n_classes, "modality": modality, **asdict(params)},
        lambda: build_tactile(params, n_classes, modality, progress),
        sources=[this_module],
        directory=cache_dir,
    )


def build_tactile(
    params: TactileParams,
    n_classes: int,
    modality: str = "tactile",
    progress: Progress | None = None,
) -> list[Recording]:
    """Recordings of all splits; the group of each is its finger.

    Parameters
    ----------
    params : TactileParams
    n_classes : int
        Labels are 0 to ``n_classes - 1``.
    modality : str
    progress : callable, optional
    """
    truth = class_patterns(n_classes, params)
    rng = np.random.default_rng([params.seed, 2])
    sizes = (params.n_train, params.n_validation, params.n_test)
    n_fingers = (params.fingers, max(params.fingers // 2, 1), max(params.fingers // 2, 1))
    recordings: list[Recording] = []
    for split, size, count in zip(_SPLITS, sizes, n_fingers, strict=True):
        hands = np.exp(params.sensitivity_spread * rng.standard_normal((count, params.side**2)))
        for start in range(0, size, _AT_ONCE):
            index = np.arange(start, min(start + _AT_ONCE, size))
            finger = rng.integers(count, size=len(index))
            speed = np.stack([_pressed(truth[i % n_classes], params, rng) for i in index])
            for i, f, fired in zip(
                index, finger, afferent_spikes(speed, hands[finger], params), strict=True
            ):
                stream = _stream(fired, modality, params, rng)
                name = f"{split}-contact-{i:04d}"
                label = int(i % n_classes)
                recordings.append(Recording(stream, label, name, f"{split}-finger-{f}", split))
            if progress is not None:
                progress(len(recordings), sum(sizes))
    return recordings


def _pressed(
    contacts: tuple[Contact, ...], params: TactileParams, rng: np.random.Generator
) -> FloatArray:
    """One recording's indentation speed ``[T, N]``: the contacts with their variations."""
    total = np.zeros((params.n_steps, params.side**2))
    for contact in contacts:
        x, y = np.asarray(contact.at_mm) + params.jitter_mm * rng.standard_normal(2)
        moved = Contact((float(x), float(y)), contact.frequency_hz)
        amplitude_um = params.amplitude_um * rng.uniform(0.6, 1.4)
        onset_ms, phase = rng.uniform(0, 0.1 * params.duration_ms), rng.uniform(0, 2 * np.pi)
        total += contact_speed(moved, amplitude_um, onset_ms, phase, params)
    return total


def _stream(
    fired: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],  # [T, N]
    modality: str,
    params: TactileParams,
    rng: np.random.Generator,
) -> EventStream:
    """Spikes as events at the end of their step, with background events among them."""
    duration_us = params.n_steps * STEP_US
    step, unit = np.nonzero(fired)
    n = int(rng.poisson(params.background_hz * params.side**2 * duration_us * 1e-6))
    t = np.concatenate([(step + 1) * STEP_US - 1, rng.integers(0, duration_us, n)])
    unit = np.concatenate([unit, rng.integers(0, params.side**2, n)])
    order = np.argsort(t, kind="stable")
    events = np.zeros(len(t), EVENT_DTYPE)
    events["t"], unit = t[order], unit[order]
    events["x"], events["y"] = unit % params.side, unit // params.side
    events["p"] = True
    return EventStream(events, params.sensor_size, duration_us, modality)
