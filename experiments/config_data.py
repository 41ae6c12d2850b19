"""Where a run's recordings come from: the ``[data]`` part of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sensors.cochlea import CochleaParams
from sensors.digits import DigitsParams
from sensors.tactile import TactileParams


@dataclass(frozen=True)
class SetConfig:
    """One modality of ``data.source = "sets"``: a public data set, or none where there is no name.

    ``name`` is that of Tonic's class; as audio, ``wav`` is a folder of
    ``<digit>_<speaker>_<take>.wav`` and ``DVSLip`` the sound of DVS-Lip, ``{train,test}/<word>/``.
    ``root`` is where it lies (empty: ``data.root``). ``digits`` reduces SHD and N-TIDIGITS18 to the
    digit. ``width`` and ``height`` sum events into fewer pixels or channels (0: as recorded).
    ``max_per_class`` keeps the first recordings of each class and part (0: all). ``sort_times``
    sorts events that are out of order instead of refusing them.
    """

    name: str = ""
    root: str = ""
    digits: bool = False
    width: int = 0
    height: int = 0
    max_per_class: int = 0
    sort_times: bool = False


@dataclass(frozen=True)
class StreamConfig:
    """A further modality of any data, ``data.modalities.<name>``, paired with the others by class.

    ``source`` is ``tactile``, generated afferents of a fingertip with the parameters ``tactile``,
    or ``files``: event files in ``root``, ``{train,validation,test}/<class>/<group>_<take>.<ext>``
    (formats of `sensors.files.read_events`; no group may be in two splits).
    """

    source: Literal["tactile", "files"] = "tactile"
    root: str = ""
    tactile: TactileParams = field(default_factory=TactileParams)


@dataclass(frozen=True)
class SceneConfig:
    """A timed scene as data, for ``data.source = "scene"``.

    ``name`` is one of `sensors.scenes.catalogue.SCENES` and ``params`` changes its parameters
    (``offsets_ms = [32]`` of S1). ``level`` is ``bare``, the spike trains that the ideal observer
    sees, or ``sensor``, the same samples through retina and cochlea. ``n_train``, ``n_validation``
    and ``n_test`` samples are drawn from three streams of ``seed``: no two splits, and no two
    seeds, share a sample.
    """

    name: str = "s1"
    level: Literal["bare", "sensor"] = "bare"
    seed: int = 0
    n_train: int = 4000
    n_validation: int = 1000
    n_test: int = 2000
    params: dict[str, float | int | str | bool | tuple[float | int, ...]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class DataConfig:
    """Where recordings come from, how they are split, paired and put on one clock.

    ``source`` is ``embedded_digits`` (needs no download), ``nmnist_fsdd`` (real recordings below
    ``root``), ``sets`` (public data sets by name: ``vision``, ``audio`` or both) or ``scene`` (a
    timed scene, drawn by seed). ``fold`` (of five) and the speakers choose the test and validation
    parts; ``test_root`` tests on all of another folder instead.

    ``modalities`` adds further ones to any source but a scene.

    For ``sets``: ``pairing`` by label, by declared assignment of classes, or by source name.
    ``test_part`` is ``disjoint`` (a test recording whose speaker or subject is in the train part
    stays out) or ``published`` (the whole test part; shared speakers are noted).
    """

    source: Literal["embedded_digits", "nmnist_fsdd", "sets", "scene"] = "embedded_digits"
    root: str = ""
    test_root: str = ""
    fold: int = 0
    test_speaker: str = ""
    validation_speaker: str = ""
    pairing_seed: int = 0
    duration_ms: float = 500.0
    audio_offset_ms: float = 0.0
    dt_ms: float = 10.0
    digits: DigitsParams = field(default_factory=DigitsParams)
    cochlea: CochleaParams = field(default_factory=CochleaParams)
    vision: SetConfig = field(default_factory=SetConfig)
    audio: SetConfig = field(default_factory=SetConfig)
    pairing: Literal["label", "assigned", "source"] = "label"
    test_part: Literal["disjoint", "published"] = "disjoint"
    modalities: dict[str, StreamConfig] = field(default_factory=dict)
    scene: SceneConfig = field(default_factory=SceneConfig)
