"""Sound sources of the embedded soundscapes: one recipe a class, from a plausible mechanism to a waveform.

A recipe is called as `recipe(who, when, n)` and returns n samples at `RATE`, of any level but never all zero.
`who` is the individual: seeded alike in all clips of a recording, it gives the same voice again (carrier, pulse
rate, motif). `when` is what that individual does in this clip. Parameter ranges of neighbouring classes overlap
on purpose (cicada and insect, owl and mammal, wind and aircraft, rain and stream).
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE = 32000  # Hz; every recipe works at this rate
SOUND_SPEED = 340.0  # m/s

Rng = np.random.Generator
Signal = NDArray[np.floating]
Recipe = Callable[[Rng, Rng, int], Signal]


# --- building blocks --------------------------------------------------------------------------------------


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number between low and high, uniform on a logarithmic scale, as pitches and rates are."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def shaped_noise(rng: Rng, n: int, gain: Callable[[Signal], Signal]) -> Signal:
    """Gaussian noise of RMS 1 with the amplitude spectrum gain(frequency in Hz) up to a factor, [n]."""
    amplitude = gain(np.fft.rfftfreq(n, 1 / RATE))
    amplitude[0] = 0.0  # no constant offset
    white = rng.standard_normal(2 * len(amplitude)).view(np.complex128)
    return np.fft.irfft(white * (amplitude * n / (2 * np.sqrt(np.sum(amplitude**2)))), n)


def band_noise(rng: Rng, n: int, centre: float, octaves: float) -> Signal:
    """Noise with a bell-shaped band round `centre` Hz; `octaves` is the bell's standard deviation."""
    return shaped_noise(rng, n, lambda f: np.exp(-0.5 * (np.log2(np.maximum(f, 1.0) / centre) / octaves) ** 2))


def resonate(x: Signal, frequency: float, q: float) -> Signal:
    """Two-pole resonance with peak gain near 1: a tymbal, a vocal sac, a formant, a bubble, a leaf."""
    radius = np.exp(-np.pi * frequency / (q * RATE))
    angle = 2 * np.pi * frequency / RATE
    return np.asarray(lfilter([1 - radius], [1.0, -2 * radius * np.cos(angle), radius**2], x))


def clicks(times: Signal, heights: Signal, n: int) -> Signal:
    """Impulses at `times` (seconds); those outside the n samples are left out."""
    at = np.floor(times * RATE).astype(int)
    inside = (at >= 0) & (at < n)
    train = np.zeros(n)
    np.add.at(train, at[inside], heights[inside])
    return train


def poisson_clicks(rng: Rng, n: int, per_s: float) -> Signal:
    """Impulses at independent times, of log-normal heights; at least one."""
    count = max(1, rng.poisson(per_s * n / RATE))
    return clicks(rng.uniform(0, n / RATE, count), rng.lognormal(0, 1, count), n)


def wander(rng: Rng, n: int, per_s: float) -> Signal:
    """Slow random curve of unit variance at its knots, `per_s` knots a second, [n]."""
    knots = int(np.ceil(n / RATE * per_s)) + 2
    return np.interp(np.arange(n) / RATE * per_s + rng.uniform(), np.arange(knots + 1), rng.standard_normal(knots + 1))


def tone(frequency: Signal, harmonics: Signal) -> Signal:
    """Sum of harmonics of a moving fundamental: frequency [n] in Hz, one amplitude a harmonic."""
    turn = np.exp(2j * np.pi * np.cumsum(frequency) / RATE)
    rotated, out = np.ones_like(turn), np.zeros(len(turn))
    for amplitude in harmonics:
        rotated *= turn
        out += amplitude * rotated.imag
    return out


def voice_pulses(frequency: Signal) -> Signal:
    """One impulse each time the phase of the fundamental wraps: a glottis closing, frequency [n] in Hz."""
    return np.diff(np.floor(np.cumsum(frequency) / RATE), prepend=-1.0)


def arch(n: int, attack: float = 0.5) -> Signal:
    """Rise from 0 to 1 over the share `attack` of n samples and fall back, in half cosines."""
    x = np.arange(n) / n
    rise, fall = x / attack, (1 - x) / (1 - attack)
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, fall))


def bout(rng: Rng, n: int, period_s: float) -> Signal:
    """Start times in seconds of calls repeated every `period_s` during part of the clip; at least one."""
    clip_s = n / RATE
    first = rng.uniform(0, 0.25 * clip_s)
    count = max(1, int(rng.uniform(0.6, 1.0) * (clip_s - first) / period_s))
    return first + (np.arange(count) + 0.15 * rng.uniform(0, 1, count)) * period_s


def overlay(starts: Signal, calls: Iterable[Signal], n: int) -> Signal:
    """Add calls at their start times (seconds); what passes the end of the n samples is cut."""
    out = np.zeros(n)
    for start, call in zip(starts, calls, strict=True):
        at = int(start * RATE)
        piece = call[: max(0, n - at)]
        out[at : at + len(piece)] += piece
    return out


# --- animals ----------------------------------------------------------------------------------------------


def cicada(who: Rng, when: Rng, n: int) -> Signal:
    """Tymbals buckle in a jittered pulse train and ring the abdomen; the train swells in echemes."""
    carrier, q = log_uniform(who, 2500, 7500), log_uniform(who, 2, 14)
    pulses_per_s, jitter = log_uniform(who, 50, 400), who.uniform(0.05, 0.5)
    echemes_per_s, depth = log_uniform(who, 0.2, 9), who.uniform(0.2, 1.0)
    count = int(pulses_per_s * n / RATE) + 1
    times = (np.arange(count) + jitter * when.standard_normal(count)) / pulses_per_s
    song = resonate(clicks(times, when.lognormal(0, 0.3, count), n), carrier, q)
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * (echemes_per_s * np.arange(n) / RATE + when.uniform()))
    return song * (1 - depth + depth * swell**2) * np.exp(0.3 * wander(when, n, 1.0))


def insect(who: Rng, when: Rng, n: int) -> Signal:
    """A file drawn over a scraper: a near-pure tone (cricket) or band noise (katydid), in syllables and chirps."""
    carrier = log_uniform(who, 2500, 7800)
    syllables_per_s, chirps_per_s = log_uniform(who, 12, 90), log_uniform(who, 0.4, 5)
    duty = who.choice([who.uniform(0.15, 0.6), 1.0])  # chirps with pauses, or an unbroken trill
    t = np.arange(n) / RATE
    if who.random() < 0.5:
        wing = tone(carrier * (1 + 0.004 * wander(when, n, 20.0)), np.array([1.0, 0.08]))
    else:
        wing = band_noise(when, n, carrier, who.uniform(0.1, 0.35))
    syllables = np.clip(np.sin(2 * np.pi * syllables_per_s * t), 0, None) ** who.uniform(0.5, 2)
    chirp = (chirps_per_s * t + when.uniform() + 0.05 * wander(when, n, 2.0)) % 1 < duty
    between = 1e-3  # the wings are never quite still; in a very short clip no chirp need fall
    return wing * (syllables * chirp + between) * np.exp(0.2 * wander(when, n, 1.5))


def bird(who: Rng, when: Rng, n: int) -> Signal:
    """A motif of whistled notes, each a frequency sweep with some vibrato; the motif is repeated in a bout."""
    middle, notes = log_uniform(who, 1500, 5000), []
    harmonics = np.array([1.0, who.uniform(0, 0.3), who.uniform(0, 0.1)])
    for _ in range(who.integers(2, 7)):
        length = int(log_uniform(who, 0.04, 0.35) * RATE)
        sweep = np.linspace(-1, 1, length) * who.uniform(-0.5, 0.5) + arch(length) * who.uniform(-0.4, 0.4)
        vibrato = who.uniform(0, 0.05) * np.sin(2 * np.pi * who.uniform(15, 60) * np.arange(length) / RATE)
        note = tone(middle * 2.0 ** (sweep + vibrato + who.uniform(-0.3, 0.3)), harmonics)
        notes += [note * arch(length, 0.3) * who.uniform(0.4, 1), np.zeros(int(who.uniform(0.01, 0.12) * RATE))]
    motif = np.concatenate(notes)
    starts = bout(when, n, len(motif) / RATE + log_uniform(who, 0.1, 1.3))
    return overlay(starts, (motif * when.uniform(0.5, 1) for _ in starts), n)


def owl(who: Rng, when: Rng, n: int) -> Signal:
    """A closed-bill hoot: a low tone with hardly any harmonics and a slight arch in pitch, in a short series."""
    pitch, length = log_uniform(who, 280, 850), int(log_uniform(who, 0.15, 0.7) * RATE)
    frequency = pitch * (1 + who.uniform(-0.08, 0.1) * arch(length))
    hoot = tone(frequency, np.array([1.0, who.uniform(0.02, 0.2), who.uniform(0, 0.06)])) * arch(length, 0.3)
    starts = bout(when, n, length / RATE + log_uniform(who, 0.15, 1.0))
    return overlay(starts, (hoot * when.uniform(0.6, 1) for _ in starts), n)


def frog(who: Rng, when: Rng, n: int) -> Signal:
    """Pulses of air ring a vocal sac; two to four males answer each other, each at his own pitch."""
    resonance, q = log_uniform(who, 500, 3200), log_uniform(who, 5, 18)
    pulses_per_s, length_s, gap_s = log_uniform(who, 15, 90), log_uniform(who, 0.15, 0.9), log_uniform(who, 0.1, 0.8)
    chorus = np.zeros(n)
    for _ in range(who.integers(2, 5)):
        length = int(length_s * RATE)
        pulses = voice_pulses(np.full(length, pulses_per_s * who.uniform(0.9, 1.1)))
        sac_hz = resonance * who.uniform(0.9, 1.1)
        call = (resonate(pulses, sac_hz, q) + 0.3 * resonate(pulses, 2.1 * sac_hz, q)) * arch(length)
        starts = bout(when, n, length_s + gap_s)
        chorus += who.uniform(0.3, 1) * overlay(starts, (call * when.uniform(0.6, 1) for _ in starts), n)
    return chorus


def mammal(who: Rng, when: Rng, n: int) -> Signal:
    """A larynx through a vocal tract: from the tonal coo of a monkey to the rough bark of a deer."""
    pitch, roughness = log_uniform(who, 150, 800), who.uniform(0.2, 1)
    formants = [log_uniform(who, 400, 1200), log_uniform(who, 1300, 3500)]
    length, bend = int(log_uniform(who, 0.1, 0.7) * RATE), who.uniform(-0.3, 0.4)
    gap_s = log_uniform(who, 0.1, 0.8)

    def call() -> Signal:
        frequency = pitch * when.uniform(0.92, 1.08) * (1 + bend * arch(length, 0.4))
        frequency = frequency * (1 + 0.15 * roughness * wander(when, length, 100.0))
        rough = voice_pulses(np.maximum(frequency, 40)) * RATE / pitch / 8 + 0.5 * when.standard_normal(length)
        coloured = resonate(rough, formants[0], 4) + 0.6 * resonate(rough, formants[1], 5)
        clear = tone(frequency, np.array([1.0, 0.4, 0.15]))
        return ((1 - roughness) * clear + 3 * roughness * coloured) * arch(length, 0.25)

    starts = bout(when, n, length / RATE + gap_s)
    return overlay(starts, (call() for _ in starts), n)


def speech(who: Rng, when: Rng, n: int) -> Signal:
    """Syllables: glottal pulses through the formants of a random vowel, some led by a fricative; phrases and pauses."""
    pitch, tract, syllables_per_s = log_uniform(who, 85, 260), who.uniform(0.9, 1.2), who.uniform(3, 6)

    def syllable() -> Signal:
        length = int(when.uniform(0.7, 1.1) / syllables_per_s * RATE)
        frequency = pitch * when.uniform(0.85, 1.2) * np.linspace(1.08, 0.92, length)
        glottis = lfilter([1.0], [1.0, -0.93], voice_pulses(frequency))
        vowel = (when.uniform(280, 800), log_uniform(when, 800, 2300), when.uniform(2300, 3000))
        voiced = sum(a * resonate(glottis, tract * f, 8) for a, f in zip((1.0, 0.7, 0.4), vowel, strict=True))
        sound = voiced * arch(length, 0.3)
        if when.random() < 0.4:
            hiss = int(when.uniform(0.04, 0.1) * RATE)
            sound[:hiss] += 0.002 * band_noise(when, hiss, when.uniform(3000, 7000), 0.4) * arch(hiss)
        return sound

    starts = bout(when, n, 1 / syllables_per_s)
    spoken = starts[(starts == starts[0]) | (when.random(len(starts)) < 0.85)]
    return overlay(spoken, (syllable() for _ in spoken), n)


# --- weather, water, machines -----------------------------------------------------------------------------


def wind(who: Rng, when: Rng, n: int) -> Signal:
    """Turbulence at the microphone, a steep low-frequency noise, and leaves that rustle in the same gusts."""
    corner, steepness = log_uniform(who, 40, 250), who.uniform(1.0, 2.5)
    leaves, foliage = log_uniform(who, 1500, 6000), log_uniform(who, 0.01, 0.5)
    gust = np.exp(who.uniform(0.3, 0.9) * wander(when, n, log_uniform(who, 0.5, 3.0)))
    rumble = shaped_noise(when, n, lambda f: 1 / (1 + (f / corner) ** 2) ** (steepness / 2))
    rustle = band_noise(when, n, leaves, 0.7)
    return rumble * gust + foliage * rustle * gust**2


def rain(who: Rng, when: Rng, n: int) -> Signal:
    """Drops at independent times strike leaves and ground, each a short dull ring, over the hiss of far drops."""
    drops_per_s, far = log_uniform(who, 30, 1500), log_uniform(who, 0.2, 2)
    near = np.zeros(n)
    for _ in range(6):
        near += resonate(poisson_clicks(when, n, drops_per_s / 6), log_uniform(who, 600, 9000), who.uniform(1, 5))
    hiss = band_noise(when, n, log_uniform(who, 2000, 7000), who.uniform(0.7, 1.2))
    return near / near.std() + far * hiss * np.exp(0.1 * wander(when, n, 0.7))


def stream(who: Rng, when: Rng, n: int) -> Signal:
    """Water over stones: steady band noise, and air bubbles that ring at their Minnaert frequencies."""
    bubbles_per_s, turbulence = log_uniform(who, 15, 250), log_uniform(who, 0.3, 2)
    bubbles = np.zeros(n)
    for _ in range(8):
        frequency = log_uniform(who, 300, 3000)
        bubbles += resonate(poisson_clicks(when, n, bubbles_per_s / 8), frequency, who.uniform(5, 30))
    flow = band_noise(when, n, log_uniform(who, 400, 3000), who.uniform(0.7, 1.2))
    return bubbles / bubbles.std() + turbulence * flow * np.exp(0.1 * wander(when, n, 2.0))


def aircraft(who: Rng, when: Rng, n: int) -> Signal:
    """Engine harmonics over jet noise, lowered by Doppler and swelling as the machine passes by."""
    speed, distance = who.uniform(40, 220), log_uniform(who, 250, 2500)  # m/s, m at the closest point
    blades_hz, jet, colour = log_uniform(who, 45, 190), log_uniform(who, 0.1, 4), log_uniform(who, 100, 500)
    harmonics = np.exp(-np.arange(15) / log_uniform(who, 1.5, 6))
    along = speed * (np.arange(n) / RATE - when.uniform(-10, 10))  # m past the closest point
    away = np.hypot(along, distance)
    doppler = 1 / (1 + speed / SOUND_SPEED * along / away)
    drone = tone(blades_hz * doppler, harmonics)
    roar = shaped_noise(when, n, lambda f: 1 / (1 + (f / colour) ** 2))
    return (drone / drone.std() + jet * roar) * (distance / away) * np.exp(0.15 * wander(when, n, 2.0))


RECIPES: dict[str, Recipe] = {
    "Cicada": cicada,
    "Insect": insect,
    "Bird": bird,
    "Owl": owl,
    "Frog": frog,
    "Mammal": mammal,
    "Speech": speech,
    "Wind": wind,
    "Rain": rain,
    "Stream": stream,
    "Aircraft": aircraft,
}
