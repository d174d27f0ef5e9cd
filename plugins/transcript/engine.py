"""One lecture from sound to transcript, in the order in which things become known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import Transcript
from plugins.media.opener import check_file, grown
from plugins.media.settings import DEFAULTS, MediaSettings
from plugins.media.truncation import end_notes
from plugins.transcript import loading, weights
from plugins.transcript.checkpoint import Notebook
from plugins.transcript.decoding.batches import batch_size, listen
from plugins.transcript.decoding.decoder import Listener
from plugins.transcript.decoding.losses import find_losses
from plugins.transcript.decoding.polling import Poll
from plugins.transcript.language import LanguageVerdict, known
from plugins.transcript.settings import TranscriptSettings
from plugins.transcript.sound.audio import Recording, gain_for, iter_audio, record, unheard_tracks
from plugins.transcript.sound.vad import find_speech
from plugins.transcript.sound.windows import LENGTH, RATE, share_out
from plugins.transcript.tally import tally

if TYPE_CHECKING:
    from core import Context, Job, Segment
    from plugins.media.coverage import Hole
    from plugins.transcript.checkpoint import SavedPart
    from plugins.transcript.decoding.losses import Losses
    from plugins.transcript.decoding.model import SpeechModel
    from plugins.transcript.options import TranscribeOptions
    from plugins.transcript.sound.windows import Span, Window
    from plugins.transcript.tally import Tally


def transcribe_lecture(
    job: Job,
    audio: Path,
    options: TranscribeOptions,
    context: Context,
    own: TranscriptSettings | None = None,
    media: MediaSettings = DEFAULTS,
) -> Transcript:
    """Write down what is said in a media file; `own` and `media` are the host's settings, None: the defaults.

    :raises BadSource: it has no sound, or none that can be decoded.
    :raises BadCall: whisper does not know the job's language.
    :raises Permanent: the model is not on this host.
    """
    own = own or TranscriptSettings()
    asked = "auto" if job.language == "auto" else known(job.language)
    threads = context.threads or _cores()

    def load(language: str) -> SpeechModel:
        wanted = weights.weights_for(options, language, own)
        context.doing(f"loading the model {wanted}")
        return loading.load(wanted, threads)

    listener = Listener(load(asked), options)
    context.doing("reading the sound")
    recording = _record(audio, options, context, media)
    notebook = Notebook(context.kept, _key(audio, asked, options, listener.model))
    poll = Poll(listener, recording, notebook)
    if notebook.lanes is None:
        context.doing("finding out where somebody speaks, and which language")
        _survey(recording, asked, listener, notebook, poll)
    assert notebook.lanes is not None
    assert notebook.verdict is not None
    if not notebook.lanes:
        return _silent(notebook.verdict, asked, recording)
    language = notebook.verdict.language
    listener.model = load(language)
    listener.language = language if listener.model.is_multilingual else None
    if listener.language is None and language != "en":
        raise weights.only_english(language)
    resumed = len(notebook.parts("transcribe"))
    is_asked = asked == "auto" and listener.model.is_multilingual
    listen(listener, recording, notebook, context, poll if is_asked else None)
    losses, spoken = find_losses(notebook), tally(notebook)
    for note in (*spoken.notes, *losses.notes):
        context.log.warning(note)
    made = _transcript(notebook, options, recording, resumed, losses, spoken)
    return made.model_copy(
        update={"facts": {**made.facts, "device": listener.model.device, "recogniser": listener.model.name}}
    )


def _cores() -> int:
    """Count the cores that this process may use, a container's share (cgroup v2, cpu.max) included.

    More threads than that are slower than fewer.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def _record(audio: Path, options: TranscribeOptions, context: Context, media: MediaSettings) -> Recording:
    """Decode the sound into the attempt's folder, once, brought to its loudness if that was asked for."""
    size = check_file(audio)
    gain = gain_for(audio, options.normalize_target, media) if options.normalize else None
    lost: list[Hole] = []
    recording = record(iter_audio(audio, gain, lost, media), context.workdir / "sound.s16")
    context.lasts(recording.seconds)
    return replace(
        recording,
        lost=lost,
        end_notes=[*end_notes(audio), *grown(audio, size)],
        unheard_tracks=unheard_tracks(audio, media),
    )


def _key(audio: Path, asked: str, options: TranscribeOptions, model: SpeechModel) -> Mapping[str, Any]:
    """Return what a crashed attempt's notes must agree with."""
    return {
        "audio": audio.name,
        "size": audio.stat().st_size,
        "asked": asked,
        "recogniser": model.name,
        "options": options.model_dump(mode="json"),
    }


def _survey(recording: Recording, asked: str, listener: Listener, notebook: Notebook, poll: Poll) -> None:
    """Find out where somebody speaks, and which language."""
    longest = LENGTH / RATE
    found = find_speech(recording, listener.options.vad_threshold, longest) if listener.options.vad else None
    lanes = share_out(found.regions if found else [(0, recording.samples)], batch_size(listener))
    rests = found.rests if found else ()
    verdict = LanguageVerdict(asked)
    if asked == "auto":
        verdict = _detect(lanes, rests, listener, poll) if lanes else LanguageVerdict("und")
    notebook.begin(lanes, found.spoken if found else None, verdict, rests)


def _detect(lanes: Sequence[Window], rests: Sequence[Span], listener: Listener, poll: Poll) -> LanguageVerdict:
    if not listener.model.is_multilingual:
        return LanguageVerdict("en")
    return poll.survey(lanes, rests, listener.options.language_votes)


def _silent(verdict: LanguageVerdict, asked: str, recording: Recording) -> Transcript:
    return Transcript(
        language=verdict.language if asked == "auto" else asked,
        segments=(),
        notes=("nobody speaks in this recording, so its captions are empty", *recording.notes),
        facts={**recording.facts, "speech_seconds": 0.0},
    )


def _transcript(
    notebook: Notebook, options: TranscribeOptions, recording: Recording, resumed: int, losses: Losses, spoken: Tally
) -> Transcript:
    lanes, language = notebook.lanes or [], spoken.verdict.language
    heard, translated = notebook.parts("transcribe"), notebook.parts("translate")
    segments = tuple(segment for part in heard for segment in _told_apart(part, notebook, language))
    english = tuple(segment for part in translated for segment in part.segments) if language != "en" else ()
    facts: dict[str, Any] = {
        **recording.facts,
        "speech_seconds": round(sum(lane.seconds for lane in lanes), 3),
        "windows": len(heard),
        "windows_resumed": resumed,
        "windows_decoded_again": sum(part.tries > 1 for part in heard),
        "tokens": sum(len(part.tokens) for part in heard),
        **losses.facts,
        **spoken.facts,
    }
    notes = [*(spoken.notes if segments else ()), *losses.notes, *recording.notes]
    if not segments:
        notes.insert(0, "there is speech in this recording, but no words were made out")
    if options.translate and language == "en":
        others = " but for what is told above, which was not translated" if spoken.others else ""
        notes.append(f"English is spoken{others}, so there is nothing to translate")
    translations = (Transcript(language="en", segments=english, translated_from=language),) if english else ()
    return Transcript(language=language, segments=segments, notes=tuple(notes), facts=facts, translations=translations)


def _told_apart(part: SavedPart, notebook: Notebook, language: str) -> Iterable[Segment]:
    """Return what was heard in a part; its language goes with it where it is not the lecture's."""
    own = notebook.stretch(part.lane, part.start).language
    return (
        [segment.model_copy(update={"language": own}) for segment in part.segments]
        if own != language
        else part.segments
    )
