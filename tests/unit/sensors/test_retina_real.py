"""Films of still pictures, and simulated N-MNIST beside real recordings of the same pictures."""

from pathlib import Path

import numpy as np
import pytest

from sensors.dvs import DvsPixelArray
from sensors.retina import NMNIST_DVS, NMNIST_PSF_PX, nmnist_path, pan
from spikefuse.errors import DataError


def test_a_still_camera_centres_the_picture(rng) -> None:
    picture = rng.uniform(0, 255, (4, 6))
    film = pan(picture, np.zeros((2, 2)), (8, 10), background=7.0)
    expected = np.full((8, 10), 7.0)
    expected[2:6, 2:8] = picture
    np.testing.assert_allclose(film, np.stack([expected] * 2))


def test_a_whole_pixel_shifts_and_half_a_pixel_averages(rng) -> None:
    picture = rng.uniform(0, 255, (12, 12))
    still, moved, half = pan(picture, np.array([[0, 0], [1, -2], [0.5, 0.0]]), (6, 6))
    np.testing.assert_allclose(still, picture[3:9, 3:9])
    np.testing.assert_allclose(moved, picture[4:10, 1:7])
    np.testing.assert_allclose(half, (picture[3:9, 3:9] + picture[4:10, 3:9]) / 2)


def test_the_spread_keeps_the_light() -> None:
    picture = np.zeros((5, 5))
    picture[2, 2] = 200.0
    film = pan(picture, np.array([[0.3, -0.4]]), (21, 21), psf_px=1.2)
    assert film.sum() == pytest.approx(200.0, rel=1e-3)
    rows = film[0].sum(axis=1)
    centre = (rows * np.arange(21)).sum() / rows.sum()
    assert centre == pytest.approx(10 - 0.3, abs=1e-3)
    # Linear interpolation by a share s widens the spread by s (1 - s).
    assert (rows * (np.arange(21) - centre) ** 2).sum() / rows.sum() == pytest.approx(
        1.2**2 + 0.3 * 0.7, rel=0.01
    )


def test_a_long_way_stays_in_the_scene() -> None:
    film = pan(np.full((3, 3), 90.0), np.array([[40.0, -25.5]]), (7, 9), background=3.0)
    np.testing.assert_allclose(film, 3.0)


@pytest.mark.parametrize(
    ("picture", "path", "size", "psf", "message"),
    [
        (np.zeros(3), np.zeros((1, 2)), (4, 4), 0.0, r"picture must be \[h >= 1, w >= 1\]"),
        (np.zeros((3, 3)), np.zeros((1, 3)), (4, 4), 0.0, r"path_px must be finite \[T, 2\]"),
        (np.zeros((3, 3)), np.full((1, 2), np.nan), (4, 4), 0.0, "path_px must be finite"),
        (np.zeros((3, 3)), np.zeros((1, 2)), (0, 4), 0.0, "size must be"),
        (np.zeros((3, 3)), np.zeros((1, 2)), (4, 4), -1.0, "psf_px must be >= 0"),
    ],
)
def test_bad_films_are_refused(picture, path, size, psf, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pan(picture, path, size, psf)


def read_recording(path: Path) -> dict[str, np.ndarray]:
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    time_us = ((raw[:, 2] & 127) << 16) | (raw[:, 3] << 8) | raw[:, 4]
    return {"x": raw[:, 0], "y": raw[:, 1], "t": time_us, "p": raw[:, 2] >> 7}


def feature(events) -> np.ndarray:
    """Square roots of the counts of 2x2 pixels, of unit length."""
    place = (events["y"].astype(np.int64) // 2) * 17 + events["x"].astype(np.int64) // 2
    counts = np.sqrt(np.bincount(place, minlength=289))
    return counts / np.linalg.norm(counts)


@pytest.mark.realdata
@pytest.mark.slow
def test_simulated_nmnist_is_like_the_recordings_of_the_same_pictures(data_root: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    pictures = np.load(data_root / "NMNIST" / "mnist_frames.npz")
    labels = pictures["train_labels"].astype(int)
    folder = data_root / "NMNIST" / "Train"
    real = [
        read_recording(folder / str(label) / f"{index + 1:05d}.bin")
        for index, label in enumerate(labels)
    ]
    path, times_us = nmnist_path()
    array = DvsPixelArray(NMNIST_DVS)
    fake = [
        array.encode(pan(picture, path, (34, 34), NMNIST_PSF_PX), times_us).events
        for picture in pictures["train_images"]
    ]

    # Camera and thresholds were fitted on some of the first 250 pictures: the others judge them.
    held_out = np.arange(250, len(labels))
    counts = np.array([[len(r["t"]), len(f)] for r, f in zip(real, fake, strict=True)])[held_out]
    # The recordings' bit is 1 where a bright digit on black darkens (see nmnist_path).
    on_share = np.array(
        [[r["p"].mean(), (~f["p"]).mean()] for r, f in zip(real, fake, strict=True)]
    )
    rates = np.array(
        [
            np.sum(
                [np.histogram(s[i]["t"], 16, (0, 320_000))[0] for i in held_out],
                axis=0,
                dtype=float,
            )
            for s in (real, fake)
        ]
    )
    features = [np.array([feature(e) for e in s]) for s in (real, fake)]
    alike = np.mean([np.corrcoef(features[0][i], features[1][i])[0, 1] for i in held_out])
    scores = []
    for fold in range(5):
        test = np.arange(len(labels)) % 5 == fold
        learner = LogisticRegression(C=20, max_iter=200).fit(features[1][~test], labels[~test])
        scores.append([learner.score(s[test], labels[test]) for s in features])
    on_real, on_fake = np.mean(scores, axis=0)
    print(
        f"\nevents {counts.mean(axis=0)}, their correlation {np.corrcoef(counts.T)[0, 1]:.3f}; "
        f"ON {on_share[held_out].mean(axis=0)}; rate over time r {np.corrcoef(rates)[0, 1]:.3f}; "
        f"in space r {alike:.3f}; trained on simulated: {on_fake:.3f} simulated, {on_real:.3f} real"
    )
    assert counts[:, 1].mean() == pytest.approx(counts[:, 0].mean(), rel=0.15)
    assert np.corrcoef(counts.T)[0, 1] > 0.8
    assert abs(on_share[held_out, 0].mean() - on_share[held_out, 1].mean()) < 0.03
    assert np.corrcoef(rates)[0, 1] > 0.6
    assert alike > 0.85
    assert on_real > on_fake - 0.05
