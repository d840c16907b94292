"""Machine sounds: the faults sound as physics says, pictures keep their axes, machines stay on one side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from sklearn.covariance import LedoitWolf

import tlhelpers as tl
from tlhelpers.data._sounds import PADDED

QUIET = tl.data.Machine(
    speed=25.0,
    hum=np.full(6, 0.02),
    teeth=20,
    mesh=np.array([0.05, 0.0, 0.0]),
    bearing=4.0,
    resonance=2200.0,
    decay=0.002,
    noise=0.001,
    tilt=0.0,
)


def clips(fault: str, severity: float = 1.0, count: int = 4, machine: tl.data.Machine = QUIET) -> np.ndarray:
    return np.stack([tl.data.record_sound(machine, fault, severity, seed) for seed in range(count)])


def strength(waves: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(waves)) ** 2
    frequency = np.fft.rfftfreq(waves.shape[1], 1 / tl.data.SOUND_RATE)
    return float(spectrum[:, (frequency > low) & (frequency < high)].sum())


def envelope_peak(wave: np.ndarray, band: tuple[float, float]) -> float:
    tuned = signal.sosfiltfilt(signal.butter(4, band, "bandpass", fs=tl.data.SOUND_RATE, output="sos"), wave)
    envelope = np.abs(signal.hilbert(tuned))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    frequency = np.fft.rfftfreq(len(wave), 1 / tl.data.SOUND_RATE)
    asked = (frequency > 15) & (frequency < 190)
    return float(frequency[asked][spectrum[asked].argmax()])


def test_a_clip_can_be_made_again_and_another_seed_makes_another() -> None:
    first, again, other = (tl.data.record_sound(QUIET, "gear", 1.0, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.dtype == np.float32 and first.shape == (tl.data.SOUND_RATE,)


def test_machines_differ_and_stay_the_same() -> None:
    assert tl.data.build_machine(1).speed == tl.data.build_machine(1).speed != tl.data.build_machine(2).speed


def test_without_severity_a_fault_changes_nothing() -> None:
    normal = tl.data.record_sound(QUIET, "normal", 0.0, 0)
    for fault in tl.data.FAULTS[1:]:
        assert np.allclose(normal, tl.data.record_sound(QUIET, fault, 0.0, 0))


def test_imbalance_raises_the_first_harmonic_of_the_shaft_and_no_other() -> None:
    normal, faulty = clips("normal"), clips("imbalance")
    assert strength(faulty, 20, 30) == pytest.approx(16 * strength(normal, 20, 30), rel=0.1)
    assert strength(faulty, 40, 60) == pytest.approx(strength(normal, 40, 60), rel=0.05)


def test_a_pitted_bearing_strikes_at_its_rate_in_the_resonance() -> None:
    peaks = [envelope_peak(wave, (1700, 2700)) for wave in clips("bearing")]
    assert all(4 * 25 * 0.94 < peak < 4 * 25 * 1.06 for peak in peaks)


def test_a_missing_tooth_modulates_the_mesh_once_a_turn() -> None:
    peaks = [envelope_peak(wave, (350, 650)) for wave in clips("gear", count=9)]
    assert np.median(peaks) == pytest.approx(25, rel=0.06)


@pytest.mark.parametrize(("fault", "severity"), [("rust", 1.0), ("gear", -0.1)])
def test_an_unknown_fault_or_a_negative_severity_is_refused(fault: str, severity: float) -> None:
    with pytest.raises(ValueError, match="give one of normal, bearing"):
        tl.data.record_sound(QUIET, fault, severity, 0)


def test_a_collection_is_half_normal_on_every_machine() -> None:
    made = tl.data.sound_collection(machines=3, clips=12, severity=0.5)
    assert made.waves.shape == (36, tl.data.SOUND_RATE)
    for number in range(3):
        counts = np.bincount(made.faults[made.machines == number], minlength=4)
        assert counts.tolist() == [6, 2, 2, 2]


def test_mel_filters_cover_the_band_and_sum_to_one() -> None:
    bank = tl.data.mel_bank()
    frequency = np.fft.rfftfreq(PADDED, 1 / tl.data.SOUND_RATE)
    assert bank.min() >= 0 and np.allclose(bank.sum(axis=1), 1)
    centers = bank @ frequency
    assert (np.diff(centers) > 0).all() and np.diff(centers)[-1] > 4 * np.diff(centers)[0]


def test_a_tone_shows_as_one_line_at_its_height() -> None:
    wave = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(tl.data.SOUND_RATE) / tl.data.SOUND_RATE)
    picture = tl.data.sound_picture(tl.data.sound_levels(wave[None]))[0]
    assert picture.shape == (tl.data.SOUND_SIDE, tl.data.SOUND_SIDE) and picture.dtype == np.uint8
    expected = int(np.argmin(np.abs(tl.data.mel_bank() @ np.fft.rfftfreq(PADDED, 1 / tl.data.SOUND_RATE) - 1000)))
    rows = tl.data.SOUND_SIDE - 1 - picture.argmax(axis=0)  # low frequencies lie at the bottom
    assert np.abs(rows - expected).max() <= 2


def test_twice_the_amplitude_is_six_decibels() -> None:
    wave = clips("normal", count=1)
    assert np.median(tl.data.sound_levels(2 * wave) - tl.data.sound_levels(wave)) == pytest.approx(6.02, abs=0.1)


def test_classic_measurements_see_the_blows() -> None:
    normal, faulty = (tl.data.classic_features(clips(fault)) for fault in ("normal", "bearing"))
    assert normal.shape == (4, 28) and np.isfinite(normal).all()
    assert faulty[:, 16].mean() > normal[:, 16].mean()  # kurtosis


def test_a_machine_is_on_one_side_only() -> None:
    machines = np.repeat(np.arange(10), 5)
    train, val, test = tl.data.by_machine(machines, train=5, val=2, seed=1)
    assert [len(np.unique(machines[part])) for part in (train, val, test)] == [5, 2, 3]
    assert (train.astype(int) + val + test == 1).all()
    other = tl.data.by_machine(machines, train=5, val=2, seed=2)
    assert not np.array_equal(train, other[0])


def test_a_part_without_a_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="each part needs one or more"):
        tl.data.by_machine(np.arange(4), train=3, val=1, seed=0)


@pytest.mark.parametrize("way", ["mahalanobis", "nearest"])
def test_what_lies_apart_is_strange(way: str) -> None:
    rng = np.random.default_rng(0)
    known = rng.standard_normal((60, 5)) * [1, 10, 0.1, 1, 1]
    same = rng.standard_normal((40, 5)) * [1, 10, 0.1, 1, 1]
    far = same + np.array([0, 0, 0.6, 0, 0])  # six deviations of the narrow feature
    assert np.median(tl.data.strangeness(known, far, way)) > np.quantile(
        tl.data.strangeness(known, same, way), 0.9
    )


def test_mahalanobis_is_that_of_the_shrunken_covariance() -> None:
    rng = np.random.default_rng(1)
    known, asked = rng.standard_normal((30, 8)), rng.standard_normal((5, 8))
    mean, scale = known.mean(axis=0), known.std(axis=0)
    expected = LedoitWolf(assume_centered=True).fit((known - mean) / scale).mahalanobis((asked - mean) / scale)
    assert np.allclose(tl.data.strangeness(known, asked), expected)


def test_another_way_is_refused() -> None:
    with pytest.raises(ValueError, match="'mahalanobis' or 'nearest'"):
        tl.data.strangeness(np.eye(3), np.eye(3), "cosine")
