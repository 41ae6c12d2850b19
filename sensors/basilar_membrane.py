"""A passive basilar membrane in shallow water: velocity of each place for each frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spikefuse._types import FloatArray

ComplexArray = np.ndarray[Any, np.dtype[np.complex128]]
_PLACES_AT_ONCE = 64


@dataclass(frozen=True)
class BasilarMembrane:
    r"""A membrane whose stiffness falls exponentially from the stapes, under shallow water.

    At place :math:`x` (cm) and frequency :math:`\omega`, with :math:`u = e^{-\alpha x / 2}`, the
    membrane's reactance is

    .. math:: \xi = C_0 u^2 - a - i \omega R_0 u - m \omega^2,
        \qquad R_0 = \delta \sqrt{C_0 m}.

    The pressure obeys :math:`p'' + g^2 p = 0` with :math:`g = \omega \sqrt{\rho / (h \xi)}`, so
    (Liouville and Green, with the Hankel function that is exact for a purely exponential
    stiffness) it is

    .. math:: p(x) \propto \sqrt{G / g}\, H^{(1)}_0(G),
        \qquad G(x) = 2 g(0) / \alpha + \int_0^x g\, dx',

    and the integral has a closed form, as :math:`\xi` is quadratic in :math:`u`. The velocity for a
    unit stimulus is :math:`2 \omega\, p(x) Z / (\xi\, p(0))` with the input impedance
    :math:`Z = i \sqrt{2 C_0 / h}\, H^{(2)}_0(z) / H^{(2)}_1(z)`,
    :math:`z = (2 \omega / \alpha) \sqrt{2 / (h C_0)}`.

    Parameters
    ----------
    length_cm : float
    stiffness : float
        :math:`C_0`, g / (s^2 cm^2).
    stiffness_offset : float
        :math:`a`, g / (s^2 cm^2).
    slope_per_cm : float
        :math:`\alpha`.
    damping : float
        :math:`\delta`.
    mass : float
        :math:`m`, g / cm^2.
    height_cm : float
        :math:`h`, of the fluid.
    density : float
        :math:`\rho`, g / cm^3.

    References
    ----------
    Sieroka, Dosch and Rupp, "Semirealistic models of the cochlea", JASA 120(1), 2006; constants
    of Cramer et al., doi:10.1109/TNNLS.2020.3044364.
    """

    length_cm: float = 3.5
    stiffness: float = 1e9
    stiffness_offset: float = 3500.0
    slope_per_cm: float = 3.0
    damping: float = 0.15
    mass: float = 0.05
    height_cm: float = 0.1
    density: float = 1.0

    def __post_init__(self) -> None:
        for name in ("length_cm", "stiffness", "slope_per_cm", "mass", "height_cm", "density"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("stiffness_offset", "damping"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")

    def velocity(self, frequencies_hz: FloatArray, n_places: int) -> ComplexArray:
        """Velocity per unit stimulus at evenly spaced places, ``[n_places, n_frequencies]``.

        Nothing moves at frequency 0. Places run from the stapes to the apex, both included.
        """
        places = np.linspace(0, self.length_cm, n_places)
        moved = np.zeros((n_places, len(frequencies_hz)), np.complex128)
        alive = frequencies_hz > 0
        omega = 2 * np.pi * frequencies_hz[alive]
        for low in range(0, n_places, _PLACES_AT_ONCE):
            part = slice(low, low + _PLACES_AT_ONCE)
            moved[part, alive] = self._velocity(omega, places[part, None])
        return moved

    def reactance(self, omega: FloatArray, place_cm: FloatArray) -> ComplexArray:
        """The membrane's reactance."""
        u: FloatArray = np.exp(-self.slope_per_cm * place_cm / 2)
        resistance = self.damping * np.sqrt(self.stiffness * self.mass) * u
        elastic = self.stiffness * u**2 - self.stiffness_offset - self.mass * omega**2
        reactance: ComplexArray = np.asarray(elastic - 1j * (omega * resistance), np.complex128)
        return reactance

    def wave_number(self, omega: FloatArray, place_cm: FloatArray) -> ComplexArray:
        """Wave number g, 1 / cm."""
        slowness = np.sqrt(self.density / (self.height_cm * self.reactance(omega, place_cm)))
        number: ComplexArray = np.asarray(omega * slowness, np.complex128)
        return number

    def phase(self, omega: FloatArray, place_cm: FloatArray) -> ComplexArray:
        """The wave's phase G: the wave number integrated from the stapes, from 2 g(0) / slope on.

        With the substitution ``dx = -2 du / (slope u)`` it is the integral of
        ``1 / (u sqrt(A u^2 + B u - C))``, a logarithm.
        """
        inertia = np.sqrt(self.stiffness_offset + self.mass * omega**2)
        resistance = self.damping * np.sqrt(self.stiffness * self.mass)

        def inside(place: FloatArray) -> ComplexArray:
            u = np.exp(-self.slope_per_cm * place / 2)
            value: ComplexArray = (
                2j * inertia * np.sqrt(self.reactance(omega, place))
                + 2 * inertia**2
                + 1j * omega * resistance * u
            ) / u
            return value

        zero = np.zeros_like(place_cm)
        scale = 2j * omega * np.sqrt(self.density / self.height_cm) / (self.slope_per_cm * inertia)
        phase: ComplexArray = 2 * self.wave_number(
            omega, zero
        ) / self.slope_per_cm - scale * np.log(inside(zero) / inside(place_cm))
        return phase

    def _velocity(self, omega: FloatArray, place_cm: FloatArray) -> ComplexArray:
        """Velocity at places ``[n, 1]`` for frequencies ``[m]``."""
        from scipy.special import hankel1e, hankel2

        zero = np.zeros((1, 1))
        here, start = self.phase(omega, place_cm), self.phase(omega, zero)
        # Scaled Hankel functions: the exponentials of a damped wave would leave the range.
        pressure = np.sqrt(here / self.wave_number(omega, place_cm)) * hankel1e(0, here)
        at_stapes = np.sqrt(start / self.wave_number(omega, zero)) * hankel1e(0, start)
        z = 2 * omega / self.slope_per_cm * np.sqrt(2 / (self.height_cm * self.stiffness))
        impedance = (
            1j * np.sqrt(2 * self.stiffness / self.height_cm) * hankel2(0, z) / hankel2(1, z)
        )
        velocity: ComplexArray = (
            2
            * omega
            / self.reactance(omega, place_cm)
            * (pressure / at_stapes)
            * np.exp(1j * (here - start))
            * impedance
        )
        return velocity
