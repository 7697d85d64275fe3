"""Sounds: a log-mel spectrogram as a picture of one channel.

Purpose: PCM WAV bytes -> (1, H, W) uint8, H mel bands (low to high) by W moments, whatever the length.
Guarantees: parsed here, bounded (at most ``MAX_SECONDS``); equal bytes give equal samples on one machine.
Does not guarantee: streaming; a file is one utterance, silence at both ends is cut, the rest is fitted to W moments.
Source: mel scale of O'Shaughnessy, 2595 log10(1 + f/700).
"""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kakuri.errors import KakuriError
from kakuri.personal.dataset import UInt8

if TYPE_CHECKING:
    from kakuri.personal.inputs.spec import InputSpec

MAX_SECONDS = 30
_RATES = range(4000, 48001)
_WINDOW_SECONDS = 0.032
_RANGE_DB = 60.0
_SILENCE_DB = 35.0  # below the loudest window: cut at both ends


def read_sound(content: bytes, where: str, spec: InputSpec) -> UInt8:
    """(1, H, W): power in dB over the utterance's own loudest 60 dB, scaled to 0 ... 255."""
    signal, rate = _samples(content, where)
    size = round(_WINDOW_SECONDS * rate)
    if len(signal) < 2 * size:
        raise _unusable(where, f"{len(signal)} samples, too short")
    step = size // 2
    starts = np.arange(0, len(signal) - size + 1, step)
    windows = signal[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    level = 10 * np.log10(power.sum(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - _SILENCE_DB)
    power = power[loud[0] : loud[-1] + 1]
    bands = power @ _mel_filters(spec.shape[1], size, rate).T
    decibels = 10 * np.log10(bands + 1e-12)
    scaled = np.clip((decibels - decibels.max() + _RANGE_DB) / _RANGE_DB, 0, 1)
    at = np.linspace(0, len(scaled) - 1, spec.shape[2])
    columns = np.stack([np.interp(at, np.arange(len(scaled)), band) for band in scaled.T])
    made: UInt8 = np.rint(255 * columns).astype(np.uint8)[None]
    return made


def _samples(content: bytes, where: str) -> tuple[NDArray[np.float64], int]:
    """One channel in -1 ... 1, and the sampling rate."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, width, channels, count = (
                file.getframerate(),
                file.getsampwidth(),
                file.getnchannels(),
                file.getnframes(),
            )
            if rate not in _RATES or width not in (1, 2) or channels not in (1, 2):
                raise _unusable(where, f"{rate} Hz, {8 * width} bits, {channels} channels")
            if count > MAX_SECONDS * rate:
                limit = f"{MAX_SECONDS} s"
                raise KakuriError(
                    "KK-D31", "the sound is too long", where=where, got=f"{count / rate:.0f} s", limit=limit
                )
            data = file.readframes(count)
    except (wave.Error, EOFError, ValueError, OverflowError) as error:
        raise _unusable(where, f"{type(error).__name__}: {error}"[:80]) from None
    data = data[: len(data) // (width * channels) * width * channels]
    values = np.frombuffer(data, "<i2" if width == 2 else "u1").astype(np.float64)
    values = values / 32768 if width == 2 else (values - 128) / 128
    return values.reshape(-1, channels).mean(axis=1), rate


def _mel_filters(bands: int, size: int, rate: int) -> NDArray[np.float64]:
    """(bands, size // 2 + 1): triangles, evenly spaced in mel from 60 Hz to half the rate."""
    frequency = np.fft.rfftfreq(size, 1 / rate)
    low, high = (2595 * np.log10(1 + f / 700) for f in (60.0, rate / 2))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    nearest = np.abs(frequency[None] - edges[1:-1, None]).argmin(axis=1)
    triangles[np.arange(bands), nearest] += 1e-3  # narrow low bands may fall between two frequencies
    return np.asarray(triangles)


def _unusable(where: str, got: str) -> KakuriError:
    limit = "PCM WAV, 8 or 16 bits, 4 to 48 kHz, mono or stereo"
    return KakuriError("KK-D30", "not a sound that can be read", where=where, got=got, limit=limit)
