"""Speech heard window by window, in several lanes at once, until none of it is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core import Segment, Word
from plugins.transcript.captions.typography import whole_words
from plugins.transcript.checkpoint import SavedPart, Task
from plugins.transcript.decoding.coverage import SHORTEST, Stretch, seconds_within
from plugins.transcript.decoding.polling import Place, Poll, encode, next_in_one_language
from plugins.transcript.decoding.timestamps import STEP
from plugins.transcript.decoding.word_times import keep_to_speech, rejoin_first_words
from plugins.transcript.sound.windows import RATE

if TYPE_CHECKING:
    from core import Context
    from plugins.transcript.checkpoint import Notebook
    from plugins.transcript.decoding.decoder import Heard, Listener
    from plugins.transcript.sound.audio import Recording
    from plugins.transcript.sound.windows import Window

#: Windows decoded at once on a CPU and on a GPU.
_BATCH = {"cpu": 8, "cuda": 16}

#: Seconds of speech for which the rest of a window is decoded again; less is the fringe of the last word, and whisper
#: makes words up where it has next to nothing to hear.
_WORTH_IT = 0.3

#: Text of a decoding above this temperature isn't shown to the next window (whisper/transcribe.py).
_TRUSTED = 0.5


def listen(
    listener: Listener, recording: Recording, notebook: Notebook, context: Context, poll: Poll | None = None
) -> None:
    """Decode what the notebook doesn't have yet, and note down each batch: the next window of each lane.

    Where a decoding stops before its window does, or another language begins, the lane's next window begins there. With
    a poll each window is decoded in its own language.
    """
    lanes = notebook.lanes or []
    tasks = tasks_of(listener)
    size = batch_size(listener)
    total = sum(lane.seconds for lane in lanes)
    while batch := _unheard(notebook, tasks)[:size]:
        context.raise_if_cancelled()
        if poll:
            poll.settle(batch)
        rests = {place: next_in_one_language(notebook, place) for place in batch}
        sounds = {
            place: (poll.taken(rest) if poll else None) or encode(listener, recording, rest)
            for place, rest in rests.items()
        }
        languages = {place: notebook.stretch(*place).language for place in batch}
        parts: list[SavedPart] = []
        for task in tasks:
            for language in sorted(set(languages.values())):  # whisper decodes a batch in one language
                places = [
                    place
                    for place in batch
                    if languages[place] == language and notebook.reached(task, place[0]) == place[1]
                ]
                if task == "translate" and language == "en":
                    parts += _as_spoken(places, [*notebook.parts("transcribe"), *parts])
                    continue
                prompt = _prompt(listener, notebook, language) if task == "transcribe" else ()
                speaking = replace(listener, language=language) if listener.language else listener
                heard = speaking.decode([sounds[place] for place in places], task, prompt) if places else []
                written = language if task == "transcribe" else "en"
                parts += [
                    part_of(task, place, rests[place], one, written, notebook)
                    for place, one in zip(places, heard, strict=True)
                ]
        notebook.add(parts)
        done = [min(notebook.reached(task, at) for task in tasks) for at in range(len(lanes))]
        context.progress(min(sum(done) / RATE, total), total)


def batch_size(listener: Listener) -> int:
    """Return how many windows are decoded at once; where each is shown the text before it, one."""
    options = listener.options
    return 1 if options.condition_on_previous_text else options.batch_size or _BATCH[listener.model.device]


def tasks_of(listener: Listener) -> Sequence[Task]:
    """Return what is asked of each window; of what is in English, the translation is what is spoken."""
    translated = listener.options.translate and listener.language is not None
    return ("transcribe", "translate") if translated else ("transcribe",)


def _as_spoken(places: Sequence[Place], heard: Sequence[SavedPart]) -> list[SavedPart]:
    return [
        part.model_copy(update={"task": "translate"})
        for part in heard
        if part.task == "transcribe" and (part.lane, part.start) in places
    ]


def _unheard(notebook: Notebook, tasks: Sequence[Task]) -> list[Place]:
    """Return where to go on, in the lecture's order."""
    reached = {(at, notebook.reached(task, at)) for task in tasks for at in range(len(notebook.lanes or []))}
    return sorted((at, sample) for at, sample in reached if sample < (notebook.lanes or [])[at].samples)


def _prompt(listener: Listener, notebook: Notebook, language: str) -> Sequence[int]:
    """Return the glossary, and the text so far in this language if it is asked for; as much as the model takes."""
    options, tokenizer = listener.options, listener.tokenizer()
    glossary = tokenizer.encode(f" {', '.join(options.glossary)}.") if options.glossary else []
    if not options.condition_on_previous_text:
        return glossary
    text: list[int] = []
    for part in notebook.parts("transcribe"):
        is_fit = part.temperature <= _TRUSTED and notebook.stretch(part.lane, part.start).language == language
        text = [*text, *(token for token in part.tokens if token < tokenizer.eot)] if is_fit else []
    room = max(listener.model.text_context // 2 - 1 - len(glossary), 0)
    return [*glossary, *text[len(text) - min(room, len(text)) :]]


def part_of(task: Task, place: Place, rest: Window, heard: Heard, language: str, notebook: Notebook) -> SavedPart:
    """Return what counts of what was heard in a window, and where it ends; its lane goes on there."""
    at, start = place
    segments, tokens = heard.segments, heard.tokens
    until = rest.samples
    if _spoken(rest, heard.until, notebook) >= _WORTH_IT:
        until = round(heard.until * RATE)
        if heard.again is not None:
            until = round(heard.again * RATE)
            segments = [segment for segment in segments if segment["end"] <= heard.again]
            tokens = [token for segment in segments for token in segment["tokens"]]
    elif heard.silent is not None and heard.silent >= STEP and _spoken(rest, heard.silent, notebook) >= SHORTEST:
        until = round(heard.silent * RATE)  # the detector hears somebody there: what is soft is heard by itself
    begin, stop = rest.spans[0][0], rest.spans[-1][1]
    near = [(start / RATE, end / RATE) for start, end in notebook.spoken or () if end >= begin and start <= stop]
    return SavedPart(
        task=task,
        lane=at,
        start=start,
        end=start + min(until, rest.samples),
        segments=tuple(
            rejoin_first_words([_on_lecture_clock(segment, rest.first(until), language, near) for segment in segments])
        ),
        tokens=tuple(tokens),
        temperature=heard.temperature,
        tries=heard.tries,
        is_given_up=heard.is_given_up,
    )


def _spoken(window: Window, since: float, notebook: Notebook) -> float:
    """Return how many seconds of speech a window has from a second on."""
    left = window.after(round(since * RATE))
    return left.seconds if notebook.spoken is None else seconds_within(left.spans, notebook.spoken)


def _on_lecture_clock(segment: Mapping[str, Any], window: Window, language: str, spoken: Sequence[Stretch]) -> Segment:
    words = whole_words([_word(word, window) for word in segment.get("words", ())], language)
    words = keep_to_speech(words, spoken)
    if words:
        start, end = words[0].start, max(word.end for word in words)
    else:
        start, end = (round(moment, 3) for moment in window.to_lecture(segment["start"], segment["end"]))
    return Segment(text=segment["text"].strip(), start=start, end=end, words=tuple(words))


def _word(word: Mapping[str, Any], window: Window) -> Word:
    start, end = window.to_lecture(word["start"], word["end"])
    sure = round(float(word["probability"]), 4)
    return Word(text=word["word"], start=round(start, 3), end=round(end, 3), confidence=sure)
