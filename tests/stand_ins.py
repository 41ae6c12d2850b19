"""Small data sets in the exact published layouts, with made-up events that depend on the class."""

from pathlib import Path

import h5py
import numpy as np
import soundfile

GERMAN = ("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LIP_WORDS = ("action", "house", "young")


def made_up_events(
    label: int, rng: np.random.Generator, side: int, n: int = 150, duration_us: int = 300_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """t (us), x, y, p of a spot that stands where the class says."""
    t = np.sort(rng.integers(0, duration_us, n))
    centre = np.array([1 + label % 4, 1 + label // 4]) * side // 6
    x, y = (np.clip(rng.normal(c, side / 12, n).round(), 0, side - 1) for c in centre)
    return t, x.astype(np.int64), y.astype(np.int64), rng.integers(0, 2, n)


def write_nmnist(root: Path, n_train: int = 5, n_test: int = 1) -> None:
    """5 bytes an event: x, y, polarity and 23 bits of microseconds."""
    rng = np.random.default_rng(0)
    for part, n in (("Train", n_train), ("Test", n_test)):
        for digit in range(10):
            folder = root / "NMNIST" / part / str(digit)
            folder.mkdir(parents=True)
            for take in range(n):
                t, x, y, p = made_up_events(digit, rng, 34)
                rows = np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1)
                name = f"{take * 10 + digit:05d}.bin"
                (folder / name).write_bytes(rows.astype(np.uint8).tobytes())


def write_gestures(root: Path) -> None:
    """(N, 4) of x, y, p and milliseconds; every user makes every gesture once."""
    rng = np.random.default_rng(1)
    for part, users in (("ibmGestureTrain", (1, 2, 3)), ("ibmGestureTest", (24,))):
        for user in users:
            folder = root / "DVSGesture" / part / f"user{user:02d}_led"
            folder.mkdir(parents=True)
            for label in range(11):
                t, x, y, p = made_up_events(label, rng, 128, duration_us=1_700_000)
                np.save(folder / f"{label}.npy", np.stack([x, y, p, t / 1000], axis=1))


def write_lip(root: Path, sound: Path) -> None:
    """Structured t, x, y, p for each take, and a wav of the same name."""
    rng = np.random.default_rng(2)
    for part, takes in (("train", 6), ("test", 2)):
        for label, word in enumerate(LIP_WORDS):
            for folder in (root / "DVSLip" / "DVS-Lip" / part / word, sound / part / word):
                folder.mkdir(parents=True)
            for take in range(takes):
                t, x, y, p = made_up_events(label, rng, 128, duration_us=900_000)
                events = np.zeros(len(t), [("t", "<i4"), ("x", "i1"), ("y", "i1"), ("p", "i1")])
                events["t"], events["x"], events["y"], events["p"] = t, x, y, p
                np.save(root / "DVSLip" / "DVS-Lip" / part / word / f"{take}.npy", events)
                tone = np.sin(2 * np.pi * (300 + 200 * label) * np.arange(7200) / 8000)
                soundfile.write(sound / part / word / f"{take}.wav", 0.3 * tone, 8000)


def write_heidelberg(
    path: Path, labels: list[int], speakers: list[int], keys: tuple[str, ...]
) -> None:
    """spikes/times (float16 seconds) and units, labels, keys and speakers in HDF5."""
    rng = np.random.default_rng(len(labels))
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        n = len(labels)
        times = file.create_dataset("spikes/times", (n,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (n,), h5py.vlen_dtype(np.uint16))
        for i, label in enumerate(labels):
            times[i] = np.sort(rng.uniform(0, 0.8, 200)).astype(np.float16)
            centre = 60 + 30 * (label % 20)
            units[i] = np.clip(rng.normal(centre, 20, 200), 0, 699).astype(np.uint16)
        file["labels"] = np.array(labels, np.uint16)
        file["extra/keys"] = np.array([k.encode() for k in keys])
        file["extra/speaker"] = np.array(speakers, np.uint16)


def write_shd(root: Path) -> None:
    """Three speakers train; of the two that test, one was in the train part."""
    for part, speakers in (("train", (0, 1, 2)), ("test", (2, 4))):
        labels = list(range(20)) * len(speakers)
        of_each = [s for s in speakers for _ in range(20)]
        write_heidelberg(root / "SHD" / f"shd_{part}.h5", labels, of_each, (*DIGITS, *GERMAN))


def write_ssc(root: Path) -> None:
    """35 words, twelve of them spoken; the parts have speakers of their own."""
    words = tuple(f"word{i:02d}" for i in range(35))
    for part, speaker in (("train", 0), ("valid", 5), ("test", 9)):
        write_heidelberg(
            root / "SSC" / f"ssc_{part}.h5", list(range(12)) * 2, [speaker] * 24, words
        )


def write_tidigits(root: Path) -> None:
    """Addresses and seconds under the names speaker-session-x-digits; strings of digits too."""
    rng = np.random.default_rng(3)
    path = root / "NTIDIGITS18" / "n-tidigits.hdf5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for part, speakers in (("train", ("ab", "cd", "ef")), ("test", ("gh",))):
            names = [f"{s}-0-a-{digit}" for s in speakers for digit in "o123456789z"]
            names += [f"{speakers[0]}-0-a-o1z", f"{speakers[0]}-0-a-42"]
            file[f"{part}_labels"] = np.array([name.encode() for name in names])
            for name in names:
                centre = 5 + 5 * "o123456789z".index(name[-1])
                file[f"{part}_timestamps/{name}"] = np.sort(rng.uniform(0, 0.7, 120))
                channels = np.clip(rng.normal(centre, 3, 120), 0, 63).astype(np.int64)
                file[f"{part}_addresses/{name}"] = channels


def write_wavs(root: Path) -> None:
    """``<digit>_<speaker>_<take>.wav`` of three speakers: a tone for each digit."""
    folder = root / "FSDD" / "recordings"
    folder.mkdir(parents=True)
    for speaker, shift in (("ann", 0), ("bob", 30), ("cid", 60)):
        for digit in range(10):
            tone = np.sin(2 * np.pi * (200 + 150 * digit + shift) * np.arange(3200) / 8000)
            soundfile.write(folder / f"{digit}_{speaker}_0.wav", 0.3 * tone, 8000)
