"""The CRF with which each rendition of this very film looks as good as a slower encoder's: found on samples.

No fixed CRF serves all content: a fast preset loses little on slides and much on noise. So samples of the film are
encoded as Esup-Pod does it and, at two CRFs, as the profile does; in between, decibels are a line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction  # at run time too: an aim travels to the parts as JSON
from typing import TYPE_CHECKING

from plugins.encode.profiles import POD, Preset
from plugins.encode.quality.metrics import Score, pooled
from plugins.encode.quality.presets import slower, work
from plugins.encode.quality.samples import places
from plugins.encode.quality.trial import Trial, try_out
from plugins.encode.video.ladder import renditions_for

if TYPE_CHECKING:
    from core import Context
    from plugins.encode.film import Film
    from plugins.encode.profiles import Profile, Quality
    from plugins.encode.video.ladder import Rendition

#: CRFs of the first sample, around those of the profile; later ones look more closely around what the first says.
_WIDE, _CLOSE = 3.0, 1.5

#: CRFs that are ever chosen; beyond them a line is no more to be trusted.
_LOWEST, _HIGHEST, _HIGHEST_AV1 = 10.0, 34.0, 60.0

#: SVT-AV1's CRF of the first sample: its scale is another.
_AV1 = 32.0

#: A CRF of one less gives a tenth more bytes or more; so much less where the cap rules, where CRF 19.5 is taken: on a
#: noisy camera it was nearest to Esup-Pod's 20.
_AT_THE_CAP, _CAPPED = 1.03, 19.5

#: Decibels that one sample may be below Esup-Pod's where the others make up for it.
_UNEVEN = 0.2

#: Between CRFs.
_STEP = 0.5

#: Seconds; a shorter lecture has the profile's own CRFs.
_SHORTEST = 10

#: Decibels that may be missing before a slower preset is tried: a CRF's step is some tenths.
_NEAR = 0.1

#: How far beyond the CRFs that were tried a line is trusted.
_BEYOND = 3.0


@dataclass(frozen=True)
class Aim:
    """What is known of one rendition before it is encoded. Bytes and processor seconds are those of the samples."""

    rendition: str
    crf: float
    preset: Preset
    #: What Esup-Pod's encode reaches, and what ours is expected to.
    target: Score
    expected: Score
    bytes: float
    pod_bytes: float
    cpu: float
    pod_cpu: float
    #: Seconds of the film at which they begin.
    samples: tuple[Fraction, ...] = ()
    #: Processor seconds that it took to find this out, each rendition's share.
    looking: float = 0.0

    @property
    def missing(self) -> float:
        """Decibels that are expected to be missing of the aim."""
        return self.missing_of(self.expected)

    def missing_of(self, score: Score) -> float:
        return max(self.target.ssim - score.ssim, self.target.xpsnr - score.xpsnr, 0.0)

    @property
    def size(self) -> float:
        """Bytes of Esup-Pod's."""
        return self.bytes / self.pod_bytes

    @property
    def will_do(self) -> bool:
        return self.missing <= _NEAR and self.size <= 1


@dataclass(frozen=True)
class _Point:
    crf: float
    trial: Trial


@dataclass(frozen=True)
class _Sample:
    """Of one rendition: Esup-Pod's encode, and ours at two CRFs."""

    #: Second of the film.
    begin: Fraction
    pod: Trial
    low: _Point
    high: _Point

    def score(self, crf: float) -> Score:
        low, high, share = self.low.trial.score, self.high.trial.score, self._share(crf)
        return Score(low.ssim + share * (high.ssim - low.ssim), low.xpsnr + share * (high.xpsnr - low.xpsnr))

    def bytes(self, crf: float) -> float:
        """Bytes of a second; sizes are halved every so many CRFs."""
        low, high = self.low.trial.bytes, self.high.trial.bytes
        return low * math.pow(high / low, self._share(crf))

    def missing(self, crf: float) -> float:
        score, target = self.score(crf), self.pod.score
        return max(target.ssim - score.ssim, target.xpsnr - score.xpsnr)

    def moved(self, trial: Trial, crf: float) -> _Sample:
        """Return what another preset makes of this sample, of which it is known for one CRF."""
        before = self.score(crf)
        ssim, xpsnr = trial.score.ssim - before.ssim, trial.score.xpsnr - before.xpsnr
        factor = trial.bytes / self.bytes(crf)

        def move(point: _Point) -> _Point:
            old = point.trial
            score = Score(old.score.ssim + ssim, old.score.xpsnr + xpsnr)
            return _Point(point.crf, Trial(score, old.bytes * factor, trial.cpu))

        return replace(self, low=move(self.low), high=move(self.high))

    def _share(self, crf: float) -> float:
        return (crf - self.low.crf) / (self.high.crf - self.low.crf)


def aim_at(film: Film, profile: Profile, context: Context) -> tuple[Aim, ...]:
    """Find for each rendition the CRF that is as good as profile `pod`; nothing for what has no pictures to look at."""
    video, begun = film.media.video, time.process_time()
    if video is None or profile.quality == "off" or film.lecture.length < _SHORTEST:
        return ()
    renditions = renditions_for(video, profile)
    context.doing("looking at samples of the pictures")
    begins, aims = places(film), list[Aim]()
    for rendition in renditions:
        samples: list[_Sample] = []
        for begin in begins:
            samples += _look(begin, rendition, film, profile, samples, context)
            context.raise_if_cancelled()
        if not samples:
            return ()
        aim = _aim(rendition, samples, profile, profile.preset)
        if rendition.spec.codec == "h264" and not aim.will_do:
            chosen = {one.rendition: one.preset for one in aims}
            others = {one.name: chosen.get(one.name, profile.preset) for one in renditions}
            aim = _slower(aim, rendition, samples, film, profile, renditions, others, context)
        aims.append(aim)
    looking = (time.process_time() - begun) / len(renditions)
    return tuple(replace(aim, looking=looking) for aim in aims)


def aimed(renditions: Sequence[Rendition], aims: Sequence[Aim]) -> tuple[Rendition, ...]:
    """Return the renditions with the CRFs and presets that were found."""
    by_name = {aim.rendition: aim for aim in aims}
    return tuple(_aimed(one, by_name[one.name]) if one.name in by_name else one for one in renditions)


def _aimed(rendition: Rendition, aim: Aim) -> Rendition:
    spec = rendition.spec.model_copy(update={"crf": aim.crf, "preset": aim.preset})
    return replace(rendition, spec=spec)


def _look(
    begin: Fraction,
    rendition: Rendition,
    film: Film,
    profile: Profile,
    known: Sequence[_Sample],
    context: Context,
) -> Iterator[_Sample]:
    """Yield what is found on one sample of a rendition, if it can be decoded."""
    is_av1 = rendition.spec.codec == "av1"
    first = (_AV1, 2 * _WIDE) if is_av1 else (rendition.spec.crf, _WIDE)
    middle, reach = (_crf(known, profile.quality, is_av1=is_av1), _CLOSE) if known else first
    crfs = middle - reach, middle + reach
    tried = [replace(rendition, spec=rendition.spec.model_copy(update={"crf": crf})) for crf in crfs]
    # One after the other: an encoder at preset slow holds half a hundred frames.
    pod = try_out(begin, [_as_pod(rendition)], POD, film, context)
    if pod and (ours := try_out(begin, tried, profile, film, context)):
        yield _Sample(begin, pod[0], *map(_Point, crfs, ours))


def _slower(
    first: Aim,
    rendition: Rendition,
    known: Sequence[_Sample],
    film: Film,
    profile: Profile,
    renditions: Sequence[Rendition],
    chosen: Mapping[str, Preset],
    context: Context,
) -> Aim:
    """Return a slower preset's aim, if that is good and small enough, or better at least.

    No faster one is tried: below veryfast x264 has no macroblock tree, and its quantisers follow a longer history than
    a sample's. Each is tried at one CRF, and what it gains there is taken to hold for others.
    """
    tried = [first]
    for preset in slower(first.preset):
        if work(renditions, {**chosen, rendition.name: preset}) > profile.budget:
            break
        spec = rendition.spec.model_copy(update={"crf": tried[-1].crf, "preset": preset})
        slow = [replace(rendition, spec=spec)]
        found = [(sample, try_out(sample.begin, slow, profile, film, context)) for sample in known]
        moved = [sample.moved(trials[0], tried[-1].crf) for sample, trials in found if trials]
        tried.append(_aim(rendition, moved, profile, preset))
        if tried[-1].will_do:
            return tried[-1]
    # No better one was found: the nearest by looks, of those alike the one that costs least.
    return min(tried, key=lambda aim: round(aim.missing, 1))


def _as_pod(rendition: Rendition) -> Rendition:
    """Return what Esup-Pod makes of this size, by its rung of the nearest height."""
    nearest = min(POD.renditions, key=lambda rung: abs(rung.height - rendition.height))
    spec = nearest.model_copy(update={"max_rate": rendition.spec.max_rate})
    return replace(rendition, spec=spec)


def _crf(samples: Sequence[_Sample], quality: Quality, *, is_av1: bool) -> float:
    """Return the highest CRF that is as good as Esup-Pod's on all samples together, by both measures.

    Where the rate cap rules, CRFs make no difference but an uneven one: a low one spends at once what is missing later.
    """
    if not is_av1 and _is_capped(samples):
        return _CAPPED
    target = _target(samples, quality)
    lowest = max(min(sample.low.crf for sample in samples) - _BEYOND, _LOWEST)
    highest = min(max(sample.high.crf for sample in samples) + _BEYOND, _HIGHEST_AV1 if is_av1 else _HIGHEST)

    def missing(crf: float) -> float:
        score = pooled(sample.score(crf) for sample in samples)
        # What moves must not pay for what stands still, which is the better the longer it stands.
        worst = 0.0 if isinstance(quality, float) else max(sample.missing(crf) for sample in samples) - _UNEVEN
        return max(target.ssim - score.ssim, target.xpsnr - score.xpsnr, worst, 0.0)

    # Coarse, because x264 doesn't encode a sample twice to the same bytes (its macroblock tree).
    steps = [step * _STEP for step in range(math.ceil(lowest / _STEP), math.floor(highest / _STEP) + 1)]
    return -min((missing(crf), -crf) for crf in steps)[1]


def _is_capped(samples: Sequence[_Sample]) -> bool:
    """Tell whether a lower CRF gives hardly more bytes."""
    low, high = (
        sum(point.trial.bytes for point in points)
        for points in ([sample.low for sample in samples], [sample.high for sample in samples])
    )
    return low < high * math.pow(_AT_THE_CAP, samples[0].high.crf - samples[0].low.crf)


def _target(samples: Sequence[_Sample], quality: Quality) -> Score:
    """Return what is to be reached; of a number the XPSNR alone."""
    return Score(0.0, quality) if isinstance(quality, float) else pooled(sample.pod.score for sample in samples)


def _aim(rendition: Rendition, samples: Sequence[_Sample], profile: Profile, preset: Preset) -> Aim:
    crf = _crf(samples, profile.quality, is_av1=rendition.spec.codec == "av1")
    return Aim(
        rendition=rendition.name,
        crf=crf,
        preset=preset,
        target=_target(samples, profile.quality),
        expected=pooled(sample.score(crf) for sample in samples),
        bytes=sum(sample.bytes(crf) for sample in samples),
        pod_bytes=sum(sample.pod.bytes for sample in samples),
        cpu=sum(sample.low.trial.cpu + sample.high.trial.cpu for sample in samples) / 2,
        pod_cpu=sum(sample.pod.cpu for sample in samples),
        samples=tuple(sample.begin for sample in samples),
    )
