"""Formant targets and words of the digit synthesiser: textbook values of an adult male voice.

Vowel formants follow Peterson and Barney, "Control methods used in a study of the vowels", JASA 24,
1952 (table II, men), rounded; consonant loci and noise bands are hand-set.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phone:
    """One steady target: length, three formants, how much voice and noise, and the noise band."""

    ms: float
    formants_hz: tuple[float, float, float]
    voice: float = 1.0
    noise: float = 0.0
    band_hz: tuple[float, float] = (2000.0, 3500.0)


def _vowel(ms: float, f1: float, f2: float, f3: float) -> Phone:
    return Phone(ms, (f1, f2, f3))


def _hiss(ms: float, low: float, high: float, noise: float, voice: float = 0.0) -> Phone:
    return Phone(ms, (300.0, 1600.0, 2500.0), voice, noise, (low, high))


_SILENCE = Phone(50.0, (400.0, 1500.0, 2500.0), 0.0, 0.0)
_S = _hiss(110.0, 2800.0, 3900.0, 0.5)
_T = _hiss(40.0, 2500.0, 3900.0, 0.6)
_K = _hiss(35.0, 1400.0, 3000.0, 0.5)
_F = _hiss(100.0, 1200.0, 3900.0, 0.15)
_V = _hiss(50.0, 1200.0, 3600.0, 0.08, voice=0.5)
_N = Phone(80.0, (280.0, 1500.0, 2450.0), 0.6)
_R = _vowel(65.0, 330.0, 1050.0, 1550.0)
_W = _vowel(60.0, 310.0, 640.0, 2200.0)

WORDS: tuple[tuple[Phone, ...], ...] = (
    (
        _hiss(70.0, 2800.0, 3900.0, 0.35, voice=0.4),
        _vowel(80.0, 390.0, 1990.0, 2550.0),
        _R,
        _vowel(80.0, 520.0, 950.0, 2350.0),
        _vowel(90.0, 360.0, 800.0, 2300.0),
    ),
    (_W, _vowel(120.0, 640.0, 1190.0, 2390.0), _N),
    (_T, _vowel(70.0, 320.0, 1300.0, 2250.0), _vowel(150.0, 300.0, 870.0, 2240.0)),
    (_hiss(90.0, 1400.0, 3900.0, 0.12), _R, _vowel(190.0, 270.0, 2290.0, 3010.0)),
    (_F, _vowel(120.0, 570.0, 840.0, 2410.0), _vowel(110.0, 490.0, 1350.0, 1690.0)),
    (_F, _vowel(110.0, 730.0, 1200.0, 2440.0), _vowel(100.0, 400.0, 1950.0, 2550.0), _V),
    (_S, _vowel(90.0, 390.0, 1990.0, 2550.0), _SILENCE, _K, _S),
    (
        _S,
        _vowel(90.0, 530.0, 1840.0, 2480.0),
        _V,
        _vowel(60.0, 600.0, 1200.0, 2390.0),
        _N,
    ),
    (_vowel(110.0, 480.0, 1950.0, 2550.0), _vowel(110.0, 330.0, 2200.0, 2800.0), _SILENCE, _T),
    (_N, _vowel(110.0, 730.0, 1200.0, 2440.0), _vowel(100.0, 400.0, 1950.0, 2550.0), _N),
)
