"""Machine sound, synthesized: rotor, gear and bearing, with and without a fault, as pictures and as numbers.

Durations are in seconds, frequencies in hertz, angles in radians; an amplitude of 1 is full scale.
Every random number comes from a seed, so a clip can be made again anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import signal, stats
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage

SOUND_RATE = 8000
"""Samples a second."""
FAULTS = ("normal", "bearing", "imbalance", "gear")
SOUND_SIDE = 96
"""Mel bands and time steps of a picture."""
WINDOW, PADDED = 64, 512
"""Samples that one spectrum looks at (8 ms), and its length after padding with zeros."""
SOUND_FLOOR, SOUND_CEILING = -70.0, -15.0
"""Level in dB that becomes black, and the one that becomes white, the same for all clips."""


@dataclass(frozen=True)
class Machine:
    """What makes a machine sound like itself.

    Attributes:
        speed: of the shaft, in turns a second.
        hum: ``[6]``, amplitudes of the shaft's harmonics; the first is the imbalance that every rotor has left.
        teeth: of the gear; its teeth meet ``teeth * speed`` times a second.
        mesh: ``[3]``, amplitudes of the harmonics of that rate.
        bearing: how often in a turn a ball passes one spot of the outer race.
        resonance: of the housing, in Hz: what a blow makes ring.
        decay: of that ringing, in seconds.
        noise: root mean square of flow and friction noise.
        tilt: fall of its power with frequency, as an exponent (0 white, 1 pink).
    """

    speed: float
    hum: np.ndarray
    teeth: int
    mesh: np.ndarray
    bearing: float
    resonance: float
    decay: float
    noise: float
    tilt: float


class Sounds(NamedTuple):
    """Clips ``waves [N, T]`` float32, their fault ``[N]`` (index into FAULTS), and their machine ``[N]``."""

    waves: np.ndarray
    faults: np.ndarray
    machines: np.ndarray


def build_machine(number: int) -> Machine:
    """Return machine ``number``: the same one at every call."""
    rng = np.random.default_rng([7, number])
    return Machine(
        speed=rng.uniform(20, 35),
        hum=0.10 * rng.uniform(0.3, 1.0, 6) / np.arange(1, 7) ** 0.7,
        teeth=int(rng.integers(15, 32)),
        mesh=0.06 * rng.uniform(0.3, 1.0, 3) / np.arange(1, 4),
        bearing=rng.uniform(3.0, 5.0),
        resonance=rng.uniform(1500, 3300),
        decay=rng.uniform(0.0015, 0.004),
        noise=rng.uniform(0.03, 0.06),
        tilt=rng.uniform(0.2, 1.2),
    )


def record_sound(built: Machine, fault: str, severity: float, seed: int, seconds: float = 1.0) -> np.ndarray:
    """Return one clip ``[T]`` float32 of a machine at work.

    Speed (within 5%), load, microphone level, and knocks from next door differ from clip to clip. A *bearing*
    with a pit in its outer race strikes the housing each time a ball passes, 1% off the beat because balls slip,
    and the housing rings (McFadden & Smith 1984). *Imbalance* raises the first harmonic of the shaft. A *gear*
    with a missing tooth modulates the sound of its mesh once a turn.

    Args:
        fault: one of FAULTS.
        severity: 0 is a sound machine; 1 can be heard easily.

    Raises:
        ValueError: for a fault of another name, or a severity below zero.
    """
    if fault not in FAULTS or severity < 0:
        raise ValueError(f"fault={fault!r}, severity={severity}; give one of {', '.join(FAULTS)} and 0 or more.")
    rng = np.random.default_rng(seed)
    count = round(seconds * SOUND_RATE)
    time = np.arange(count) / SOUND_RATE
    wobble = 1 + 0.005 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 2 * np.pi))
    turns = np.cumsum(built.speed * rng.uniform(0.95, 1.05) * wobble) / SOUND_RATE
    angle = 2 * np.pi * turns + rng.uniform(0, 2 * np.pi)
    load = rng.uniform(0.4, 1.0)

    hum = built.hum * rng.uniform(0.8, 1.2, 6)
    hum[0] *= 1 + 3 * severity * (fault == "imbalance")
    wave = sum(a * np.cos((h + 1) * angle + rng.uniform(0, 2 * np.pi)) for h, a in enumerate(hum))
    mesh = sum(
        load * a * np.cos((h + 1) * built.teeth * angle + rng.uniform(0, 2 * np.pi))
        for h, a in enumerate(built.mesh)
    )
    pulse = np.exp(8 * (np.cos(angle) - 1))  # one bump a turn, about a fifth of it wide
    wave = wave + mesh * (1 + 3 * severity * (fault == "gear") * (pulse - pulse.mean()))

    blows = np.zeros(count)
    if fault == "bearing":
        passed = np.arange(1, int(turns[-1] * built.bearing))
        # Random numbers of their own: all else about the clip stays what it is without the fault.
        slip = 0.01 * np.random.default_rng([1, seed]).standard_normal(len(passed)).cumsum()
        at = np.interp((passed + slip) / built.bearing, turns, time)
        np.add.at(blows, (at * SOUND_RATE).astype(int).clip(0, count - 1), 0.6 * severity * (0.5 + load / 2))
    ringing = time[: SOUND_RATE // 20]
    wave = wave + _ring(blows, built.resonance, built.decay, ringing)
    knocks = np.zeros(count)
    knocks[rng.integers(0, count, rng.poisson(2 * seconds))] = rng.uniform(0.1, 0.5)
    wave = wave + _ring(knocks, rng.uniform(600, 3500), 0.006, ringing)
    wave = wave + _noise(rng, count, built)
    return (wave * 10 ** (rng.uniform(-2, 2) / 20)).astype(np.float32)


def _ring(blows: np.ndarray, frequency: float, decay: float, time: np.ndarray) -> np.ndarray:
    tail = np.exp(-time / decay) * np.sin(2 * np.pi * frequency * time)
    return signal.fftconvolve(blows, tail)[: len(blows)]


def _noise(rng: np.random.Generator, count: int, built: Machine) -> np.ndarray:
    frequency = np.fft.rfftfreq(count, 1 / SOUND_RATE)
    shape = np.maximum(frequency, 50.0) ** (-built.tilt / 2)
    # The housing colors the noise as well, with the same resonance that a faulty bearing excites.
    shape = shape * (1 + 2 / (1 + ((frequency - built.resonance) * 2 * np.pi * built.decay) ** 2))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    return built.noise * noise / noise.std()


def sound_collection(machines: int, clips: int, severity: float, seed: int = 0, first: int = 0) -> Sounds:
    """Return ``clips`` clips of each of ``machines`` machines: one half normal, the faults in turn in the other.

    The severity of each faulty clip is drawn between half and twice ``severity``.

    Args:
        seed: of the severities and of the noise.
        first: number of the first machine; the others follow. Other numbers are other machines.
    """
    rng = np.random.default_rng(seed)
    built = range(first, first + machines)
    rows = [(m, 0 if c % 2 else 1 + (c // 2) % 3) for m in built for c in range(clips)]
    waves = [
        record_sound(
            build_machine(m), FAULTS[f], severity * 2 ** rng.uniform(-1, 1), seed=int(rng.integers(2**32))
        )
        for m, f in rows
    ]
    numbers, faults = np.array(rows).T
    return Sounds(np.stack(waves), faults, numbers)


def mel_bank(bands: int = SOUND_SIDE, low: float = 40.0, high: float = SOUND_RATE / 2) -> np.ndarray:
    """Return triangular filters ``[bands, PADDED / 2 + 1]``, evenly spaced in mel, each with sum 1.

    A mel is ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987).
    """
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(PADDED, 1 / SOUND_RATE)
    rise = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    bank = np.maximum(np.minimum(rise, fall), 0)
    return bank / np.maximum(bank.sum(axis=1, keepdims=True), 1e-12)


def sound_levels(waves: np.ndarray, bands: int = SOUND_SIDE) -> np.ndarray:
    """Return mel spectrograms in dB, ``[N, bands, SOUND_SIDE]``, of clips ``[N, T]``; low frequencies come first.

    Each time step is the mean power of two windows, so that no part of the clip is left out.
    """
    step = (waves.shape[1] - WINDOW) // (2 * SOUND_SIDE - 1)
    _, _, power = signal.spectrogram(
        waves, SOUND_RATE, "hann", WINDOW, WINDOW - step, PADDED, detrend=False, scaling="spectrum"
    )
    power = power[:, :, : 2 * SOUND_SIDE].reshape(*power.shape[:2], SOUND_SIDE, 2).mean(axis=3)
    return 10 * np.log10(mel_bank(bands) @ power + 1e-12)


def sound_picture(level: np.ndarray) -> np.ndarray:
    """Return a spectrogram in dB as 8-bit gray, low frequencies at the bottom.

    SOUND_FLOOR and what is below it is black, SOUND_CEILING and what is above it white.
    """
    gray = (level[..., ::-1, :] - SOUND_FLOOR) / (SOUND_CEILING - SOUND_FLOOR)
    return (gray.clip(0, 1) * 255).round().astype(np.uint8)


def classic_features(waves: np.ndarray) -> np.ndarray:
    """Return what an engineer would measure on clips ``[N, T]``, as ``[N, 28]``.

    Level in 16 mel bands (dB); kurtosis of the wave and of four bands, which blows raise; and, for three bands,
    the largest peak of the envelope's spectrum at the rates of a shaft (15 to 45 Hz) and of a bearing (55 to
    190 Hz), over the median there: envelope analysis (Randall & Antoni 2011). Last the strongest line below
    45 Hz, in dB.
    """
    band_levels = sound_levels(waves, 16).mean(axis=2)
    measured = [*band_levels.T, stats.kurtosis(waves, axis=1)]
    for low, high in ((250, 800), (800, 1600), (1600, 2600), (2600, 3800)):
        tuned = signal.sosfiltfilt(signal.butter(4, (low, high), "bandpass", fs=SOUND_RATE, output="sos"), waves)
        measured.append(stats.kurtosis(tuned, axis=1))
        if low < 2600:
            measured += _envelope_peaks(tuned)
    spectrum, frequency = np.abs(np.fft.rfft(waves)), np.fft.rfftfreq(waves.shape[1], 1 / SOUND_RATE)
    measured.append(20 * np.log10(spectrum[:, (frequency > 15) & (frequency < 45)].max(axis=1)))
    return np.stack(measured, axis=1)


def _envelope_peaks(tuned: np.ndarray) -> list[np.ndarray]:
    envelope = np.abs(signal.hilbert(tuned))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean(axis=1, keepdims=True)))
    frequency = np.fft.rfftfreq(tuned.shape[1], 1 / SOUND_RATE)
    parts = [spectrum[:, (frequency > a) & (frequency < b)] for a, b in ((15, 45), (55, 190))]
    return [np.log(part.max(axis=1) / np.median(part, axis=1)) for part in parts]


def by_machine(machines: np.ndarray, train: int, val: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three masks ``[N]`` of clips: ``train`` machines, ``val`` others, and those that are left.

    Raises:
        ValueError: when a part gets no machine.
    """
    names = np.random.default_rng(seed).permutation(np.unique(machines))
    if min(train, val, len(names) - train - val) < 1:
        raise ValueError(f"train={train} and val={val} of {len(names)} machines: each part needs one or more.")
    parts = np.split(names, [train, train + val])
    return tuple(np.isin(machines, part) for part in parts)  # type: ignore[return-value]


def strangeness(known: np.ndarray, asked: np.ndarray, way: str = "mahalanobis") -> np.ndarray:
    """Return how far features ``asked [M, F]`` lie from the normal ones ``known [N, F]``, as ``[M]``.

    Features are standardized with the normal clips first. ``mahalanobis`` then uses their covariance, shrunk
    toward a multiple of the identity (Ledoit & Wolf 2004), as there may be more features than clips; ``nearest``
    is the distance to the nearest normal clip.

    Raises:
        ValueError: for another way.
    """
    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.maximum(scale, 0.1 * np.median(scale))  # else one that hardly moved decides alone
    known, asked = (known - mean) / scale, (asked - mean) / scale
    if way == "nearest":
        return cdist(asked, known).min(axis=1)
    if way != "mahalanobis":
        raise ValueError(f"way={way!r}; give 'mahalanobis' or 'nearest'.")
    shrink = ledoit_wolf_shrinkage(known, assume_centered=True)
    _, singular, axes = np.linalg.svd(known, full_matrices=False)
    floor = shrink * (known**2).mean()
    along = (asked @ axes.T) ** 2
    rest = (asked**2).sum(axis=1) - along.sum(axis=1)
    return (along / ((1 - shrink) * singular**2 / len(known) + floor)).sum(axis=1) + rest / floor
