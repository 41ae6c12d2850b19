"""Every data set by name: where its files lie, how they are listed, what their labels mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sensors.array_sets import ArrayReader, EventFileReader, class_files
from sensors.hdf5_events import Hdf5File, HeidelbergReader, TidigitsReader, texts
from sensors.recorded import Entry, RecordedSet
from sensors.tonic_source import TonicReader, class_list, download
from spikefuse.errors import DataError
from spikefuse.events import SensorSize

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GERMAN = ("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")
_TIDIGITS = ("o", *"123456789", "z")  # label 0 is "oh", label 10 is "zero"
_POKER = ("cl", "he", "di", "sp")
_CIFAR = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclass(frozen=True)
class DataSet:
    """How a data set is found and opened.

    Parameters
    ----------
    parts : mapping of part to the file or folder below the root that holds it
    layout : str
        What lies there, for the message of a missing set.
    open_part : callable (root, part, options) -> RecordedSet
    options : tuple of str
        Keyword arguments that may be passed on.
    tonic_argument : callable
        Part to the keyword of Tonic's class.
    manual : str or None
        Why Tonic's class cannot download it and where to get it.
    """

    parts: Mapping[str, str]
    layout: str
    open_part: Callable[[Path, str, Mapping[str, Any]], RecordedSet]
    options: tuple[str, ...]
    tonic_argument: Callable[[str], dict[str, Any]]
    manual: str | None = None


def open_set(
    name: str,
    root: Path | str,
    part: str = "train",
    *,
    download_missing: bool = False,
    sort_times: bool = False,
    **options: Any,
) -> RecordedSet:
    """One part of a data set below ``root``, listed in a fixed order and read on demand.

    N-MNIST, DVS Gesture, DVS-Lip and SMNIST are read by Tonic's classes, sorted by path. Read here
    in the same files, because Tonic's class fails or is slow: SHD and SSC (the file is opened anew
    for each item), N-TIDIGITS18 (cannot be pickled), POKER-DVS (its archives are not in the
    package) and CIFAR10-DVS (needs a package that Tonic does not require).

    Parameters
    ----------
    name : str
        A key of `DATA_SETS`, which is the name of Tonic's class.
    root : Path
        Tonic's ``save_to``; the set lies in a folder of the class's name (SMNIST: ``smnist``).
    part : str
        "train" or "test"; SSC has "validation" too, CIFAR10DVS only "all".
    download_missing : bool
        Let Tonic's class download what it finds missing (it asks for the archive and all files).
        Nothing is ever downloaded otherwise.
    sort_times : bool
        Sort events that are out of order instead of refusing them.
    **options
        NMNIST: ``first_saccade_only``, ``stabilize``, ``transform``. SMNIST: ``duplicate``,
        ``num_neurons``, ``dt``, ``transform``. DVSGesture, DVSLip: ``transform``. SHD and
        NTIDIGITS18: ``digits=True`` for the digit alone, that is, both languages of SHD, or "oh"
        and "zero" of N-TIDIGITS18, under one label. NTIDIGITS18: ``sequences=True`` lists the
        strings of digits too; a label is then that of a whole string (see `digit_sequence`).

    Returns
    -------
    RecordedSet

    Raises
    ------
    DataError
        If the set is not there (what to download, by which class, where to put it), its layout is
        another, or an argument is none of the set's.
    """
    if name not in DATA_SETS:
        raise DataError(f"name must be one of {sorted(DATA_SETS)}, got {name!r}")
    data_set, root = DATA_SETS[name], Path(root).expanduser()
    if part not in data_set.parts:
        raise DataError(f"part of {name} must be one of {list(data_set.parts)}, got {part!r}")
    unknown = sorted(set(options) - set(data_set.options))
    if unknown:
        raise DataError(f"options of {name} must be of {list(data_set.options)}, got {unknown}")
    place = root / data_set.parts[part]
    if download_missing:
        if data_set.manual:
            raise DataError(f"{name} must be downloaded by hand: {data_set.manual}")
        download(name, root, data_set.tonic_argument(part))
    if not place.exists():
        raise DataError(_missing(name, place, root, "nothing there"))
    recorded = data_set.open_part(root, part, options)
    if not len(recorded):
        raise DataError(_missing(name, place, root, "no recording"))
    return replace(recorded, sort_times=sort_times)


def _missing(name: str, place: Path, root: Path, got: str) -> str:
    """What to download, by which class, and where to put it."""
    data_set = DATA_SETS[name]
    how = data_set.manual or (
        f"tonic.datasets.{name}(save_to={str(root)!r}) downloads it, as does "
        "download_missing=True; a copy from elsewhere can be unpacked there"
    )
    return f"{place} must hold {data_set.layout}, got {got}; {how}"


def _train_flag(part: str) -> dict[str, Any]:
    return {"train": part == "train"}


def _ssc_split(part: str) -> dict[str, Any]:
    return {"split": "valid" if part == "validation" else part}


def _no_argument(_: str) -> dict[str, Any]:
    return {}


def _open_tonic(
    name: str, space: str, classes: tuple[str, ...], root: Path, part: str, options: Any
) -> RecordedSet:
    """A part that Tonic's class reads."""
    reader = TonicReader(name, root, {**_train_flag(part), **options})
    sources = reader.sources
    groups = sources  # one picture or take each
    if name == "SMNIST":
        sources = groups = [f"{part}/{source}" for source in sources]
    if name == "DVSGesture":
        groups = [f"user{user:02d}" for user in reader.field("users")]
    entries = _entries(reader.labels, sources, groups, part)
    size: SensorSize = reader.dataset.sensor_size
    modality = "audio" if name == "SMNIST" else "vision"
    return RecordedSet(name, part, modality, size, space, classes, entries, reader)


def _open_nmnist(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    return _open_tonic("NMNIST", "digits", DIGITS, root, part, options)


def _open_smnist(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    return _open_tonic("SMNIST", "digits", DIGITS, root, part, options)


def _open_gesture(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    classes = class_list("DVSGesture")
    return _open_tonic("DVSGesture", "gestures of DVSGesture", classes, root, part, options)


def _open_lip(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    return _open_tonic("DVSLip", "words of DVSLip", class_list("DVSLip"), root, part, options)


def _open_poker(root: Path, part: str, _: Mapping[str, Any]) -> RecordedSet:
    folder = root / DATA_SETS["POKERDVS"].parts[part]
    found = class_files(folder, _POKER, ".npy")
    reader = ArrayReader([path for _, path in found], ("t", "x", "y", "p"))
    sources = [path.relative_to(folder.parent).as_posix() for _, path in found]
    entries = _entries([label for label, _ in found], sources, sources, part)
    return RecordedSet(
        "POKERDVS", part, "vision", (35, 35, 2), "suits of POKERDVS", _POKER, entries, reader
    )


def _open_cifar(root: Path, part: str, _: Mapping[str, Any]) -> RecordedSet:
    folder = root / DATA_SETS["CIFAR10DVS"].parts[part]
    found = class_files(folder, _CIFAR, ".aedat4")
    sources = [path.relative_to(folder).as_posix() for _, path in found]
    entries = _entries([label for label, _ in found], sources, sources, None)
    reader = EventFileReader([path for _, path in found])
    return RecordedSet(
        "CIFAR10DVS", part, "vision", (128, 128, 2), "classes of CIFAR10", _CIFAR, entries, reader
    )


def _open_shd(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    recorded = _open_heidelberg("SHD", root, part)
    if not options.get("digits"):
        return recorded
    # label % 10 is the digit only while the file's own key list says so.
    if recorded.class_names != (*DIGITS, *_GERMAN):
        raise DataError(
            f"extra/keys of SHD {part} must be {[*DIGITS, *_GERMAN]} for the digit to be "
            f"label % 10, got {list(recorded.class_names)}"
        )
    entries = tuple(replace(e, label=e.label % 10) for e in recorded.entries)
    return replace(recorded, label_space="digits", class_names=DIGITS, entries=entries)


def _open_ssc(root: Path, part: str, _: Mapping[str, Any]) -> RecordedSet:
    return _open_heidelberg("SSC", root, part)


def _open_heidelberg(name: str, root: Path, part: str) -> RecordedSet:
    """SHD or SSC: labels, key list and speakers are small and read at once."""
    path = root / DATA_SETS[name].parts[part]
    file = Hdf5File(path)
    labels = np.asarray(file["labels"][()]).astype(np.int64)
    # Written here and there with and without an umlaut.
    keys = tuple(key.replace("ü", "ue") for key in texts(file["extra/keys"]))
    speakers = np.asarray(file["extra/speaker"][()])
    lengths = [len(labels), len(speakers), *(len(file[f"spikes/{f}"]) for f in ("times", "units"))]
    if len(set(lengths)) > 1:
        raise DataError(
            f"{path} must hold one label, speaker, times and units for each recording, "
            f"got {lengths}"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(keys):
        raise DataError(
            f"labels of {path} must lie in [0, {len(keys)}), got {labels.min()} to {labels.max()}"
        )
    sources = [f"{path.stem}/{i:06d}" for i in range(len(labels))]
    groups = [f"speaker{s}" for s in speakers]
    entries = _entries(labels.tolist(), sources, groups, part)
    space = f"keys of {name}"
    reader = HeidelbergReader(file)
    return RecordedSet(name, part, "audio", (700, 1, 1), space, keys, entries, reader)


def _open_tidigits(root: Path, part: str, options: Mapping[str, Any]) -> RecordedSet:
    """Single digits, or strings of digits too; names are speaker-...-digits."""
    file = Hdf5File(root / DATA_SETS["NTIDIGITS18"].parts[part])
    merged, sequences = options.get("digits", False), options.get("sequences", False)
    names = [n for n in texts(file[f"{part}_labels"]) if sequences or len(_spoken(n)) == 1]
    spoken = [_spoken(name) for name in names]
    for name in spoken:
        if not name or set(name) - set(_TIDIGITS):
            raise DataError(
                f"names of {file.path} must end in one of {list(_TIDIGITS)}, got {name!r}"
            )
    if sequences:
        if merged:
            spoken = [_without_oh(name) for name in spoken]
        classes = _strings_of_both_parts(file, merged)
        place = {name: label for label, name in enumerate(classes)}
        labels = [place[name] for name in spoken]
        space = "digit strings of NTIDIGITS18" + (", oh as zero" if merged else "")
    else:
        labels = [_TIDIGITS.index(digit) for digit in spoken]
        space, classes = "digits of NTIDIGITS18", _TIDIGITS
        if merged:
            labels, space, classes = [label % 10 for label in labels], "digits", DIGITS
    sources = [f"{part}/{name}" for name in names]
    entries = _entries(labels, sources, [name.split("-", 1)[0] for name in names], part)
    reader = TidigitsReader(file, part, tuple(names))
    return RecordedSet("NTIDIGITS18", part, "audio", (64, 1, 1), space, classes, entries, reader)


def digit_sequence(class_name: str) -> tuple[int, ...]:
    """Digits of one class of N-TIDIGITS18's strings, "oh" and "zero" both 0.

    Parameters
    ----------
    class_name : str
        Of `open_set` with ``sequences=True``, such as "o42z".

    Raises
    ------
    DataError
        If it is no string of N-TIDIGITS18's digits.
    """
    if not class_name or set(class_name) - {*_TIDIGITS, "0"}:
        raise DataError(f"class_name must be a string of {list(_TIDIGITS)}, got {class_name!r}")
    return tuple(map(int, _without_oh(class_name)))


def _spoken(name: str) -> str:
    """The digits in a recording's name."""
    return name.rsplit("-", 1)[-1]


def _without_oh(spoken: str) -> str:
    """ "oh" and "zero" as the digit 0."""
    return spoken.replace("o", "0").replace("z", "0")


def _strings_of_both_parts(file: Hdf5File, merged: bool) -> tuple[str, ...]:
    """Every string that is spoken in either part, so that a label means the same in both."""
    found = {_spoken(n) for part in ("train", "test") for n in texts(file[f"{part}_labels"])}
    found = {_without_oh(name) for name in found} if merged else found
    return tuple(sorted(found, key=lambda name: (len(name), name)))


def _entries(
    labels: list[int], sources: list[str], groups: list[str], part: str | None
) -> tuple[Entry, ...]:
    """One entry for each position."""
    split = part
    rows = enumerate(zip(labels, sources, groups, strict=True))
    return tuple(Entry(label, s, g, split, i) for i, (label, s, g) in rows)


_ARCHIVES = (
    "Tonic's class copies pips_{train,test}.tar.gz from its own folder, where its package (1.7.0) "
    "does not have them; get both from tonic/datasets in Tonic's source repository, unpack there"
)
_DRIVE = (
    "tonic.datasets.DVSLip names a Google Drive link to DVS-Lip.zip (class attribute base_url); "
    "fetch it with a browser and unpack it there"
)

DATA_SETS: Mapping[str, DataSet] = {
    "NMNIST": DataSet(
        {"train": "NMNIST/Train", "test": "NMNIST/Test"},
        "<digit>/*.bin",
        _open_nmnist,
        ("first_saccade_only", "stabilize", "transform"),
        _train_flag,
    ),
    "DVSGesture": DataSet(
        {"train": "DVSGesture/ibmGestureTrain", "test": "DVSGesture/ibmGestureTest"},
        "userNN_<light>/<class>.npy",
        _open_gesture,
        ("transform",),
        _train_flag,
    ),
    "CIFAR10DVS": DataSet({"all": "CIFAR10DVS"}, "<class>/*.aedat4", _open_cifar, (), _no_argument),
    "POKERDVS": DataSet(
        {"train": "POKERDVS/pips_train", "test": "POKERDVS/pips_test"},
        "{cl,he,di,sp}/*.npy",
        _open_poker,
        (),
        _train_flag,
        _ARCHIVES,
    ),
    "DVSLip": DataSet(
        {"train": "DVSLip/DVS-Lip/train", "test": "DVSLip/DVS-Lip/test"},
        "<word>/*.npy",
        _open_lip,
        ("transform",),
        _train_flag,
        _DRIVE,
    ),
    "SHD": DataSet(
        {"train": "SHD/shd_train.h5", "test": "SHD/shd_test.h5"},
        "the HDF5 file",
        _open_shd,
        ("digits",),
        _train_flag,
    ),
    "SSC": DataSet(
        {
            "train": "SSC/ssc_train.h5",
            "validation": "SSC/ssc_valid.h5",
            "test": "SSC/ssc_test.h5",
        },
        "the HDF5 file",
        _open_ssc,
        (),
        _ssc_split,
    ),
    "NTIDIGITS18": DataSet(
        {"train": "NTIDIGITS18/n-tidigits.hdf5", "test": "NTIDIGITS18/n-tidigits.hdf5"},
        "the HDF5 file",
        _open_tidigits,
        ("digits", "sequences"),
        _train_flag,
    ),
    "SMNIST": DataSet(
        {"train": "smnist/train-images-idx3-ubyte", "test": "smnist/t10k-images-idx3-ubyte"},
        "the MNIST image file, unzipped, and {train,t10k}-labels-idx1-ubyte beside it",
        _open_smnist,
        ("duplicate", "num_neurons", "dt", "transform"),
        _train_flag,
    ),
}
