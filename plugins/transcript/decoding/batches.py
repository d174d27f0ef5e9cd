"""Windows decoded batch by batch until none of their speech is left unheard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core import Segment, Word
from plugins.transcript.captions.typography import whole_words
from plugins.transcript.checkpoint import SavedPart, Task
from plugins.transcript.decoding.coverage import seconds_within
from plugins.transcript.decoding.polling import Poll, encode
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

#: A number of a window and the sample of it that is to be heard next.
Place = tuple[int, int]


def listen(
    listener: Listener, recording: Recording, notebook: Notebook, context: Context, poll: Poll | None = None
) -> None:
    """Decode what the notebook doesn't have yet, and note down each batch; with a poll, each window in its language.

    Where a decoding stops before its window does, or another language begins, the rest is encoded by itself and goes
    into the next batch.
    """
    options, windows = listener.options, notebook.windows or []
    tasks = tasks_of(listener)
    size = 1 if options.condition_on_previous_text else options.batch_size or _BATCH[listener.model.device]
    total = sum(window.seconds for window in windows)
    while batch := _unheard(notebook, tasks)[:size]:
        context.raise_if_cancelled()
        if poll:
            poll.settle(sorted({at for at, _ in batch}))
        languages = {(at, start): notebook.stretch(at, start).language for at, start in batch}
        rests = {place: _rest(windows[place[0]], place, notebook) for place in batch}
        sounds = {
            place: (poll.taken(place[0], rest) if poll else None) or encode(listener, recording, rest)
            for place, rest in rests.items()
        }
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
                    _part(task, place, rests[place], one, written, notebook)
                    for place, one in zip(places, heard, strict=True)
                ]
        notebook.add(parts)
        done = [min(notebook.reached(task, at) for task in tasks) for at in range(len(windows))]
        context.progress(min(sum(done) / RATE, total), total)


def tasks_of(listener: Listener) -> Sequence[Task]:
    """Return what is asked of each window; of what is in English, the translation is what is spoken."""
    translated = listener.options.translate and listener.language is not None
    return ("transcribe", "translate") if translated else ("transcribe",)


def _rest(window: Window, place: Place, notebook: Notebook) -> Window:
    """Return what is to be heard next of a window: no more than one language."""
    at, start = place
    return window.after(start).first(notebook.stretch(at, start).end - start)


def _as_spoken(places: Sequence[Place], heard: Sequence[SavedPart]) -> list[SavedPart]:
    return [
        part.model_copy(update={"task": "translate"})
        for part in heard
        if part.task == "transcribe" and (part.window, part.start) in places
    ]


def _unheard(notebook: Notebook, tasks: Sequence[Task]) -> list[Place]:
    """Return where to go on, in the lecture's order."""
    reached = {(at, notebook.reached(task, at)) for task in tasks for at in range(len(notebook.windows or []))}
    return sorted((at, sample) for at, sample in reached if sample < (notebook.windows or [])[at].samples)


def _prompt(listener: Listener, notebook: Notebook, language: str) -> Sequence[int]:
    """Return the glossary, and the text so far in this language if it is asked for; as much as the model takes."""
    options, tokenizer = listener.options, listener.tokenizer()
    glossary = tokenizer.encode(f" {', '.join(options.glossary)}.") if options.glossary else []
    if not options.condition_on_previous_text:
        return glossary
    text: list[int] = []
    for part in notebook.parts("transcribe"):
        is_fit = part.temperature <= _TRUSTED and notebook.stretch(part.window, part.start).language == language
        text = [*text, *(token for token in part.tokens if token < tokenizer.eot)] if is_fit else []
    room = max(listener.model.text_context // 2 - 1 - len(glossary), 0)
    return [*glossary, *text[len(text) - min(room, len(text)) :]]


def _part(task: Task, place: Place, rest: Window, heard: Heard, language: str, notebook: Notebook) -> SavedPart:
    at, start = place
    until = min(round(heard.until * RATE), rest.samples)
    left = rest.after(until)
    spoken = left.seconds if notebook.spoken is None else seconds_within(left.spans, notebook.spoken)
    return SavedPart(
        task=task,
        window=at,
        start=start,
        end=start + (rest.samples if spoken < _WORTH_IT else until),
        segments=tuple(_on_lecture_clock(segment, rest, language) for segment in heard.segments),
        tokens=tuple(heard.tokens),
        temperature=heard.temperature,
        tries=heard.tries,
        is_given_up=heard.is_given_up,
    )


def _on_lecture_clock(segment: Mapping[str, Any], window: Window, language: str) -> Segment:
    words = whole_words([_word(word, window) for word in segment.get("words", ())], language)
    if words:
        start, end = words[0].start, max(word.end for word in words)
    else:
        start, end = (round(moment, 3) for moment in window.to_lecture(segment["start"], segment["end"]))
    return Segment(text=segment["text"].strip(), start=start, end=end, words=tuple(words))


def _word(word: Mapping[str, Any], window: Window) -> Word:
    start, end = window.to_lecture(word["start"], word["end"])
    sure = round(float(word["probability"]), 4)
    return Word(text=word["word"], start=round(start, 3), end=round(end, 3), confidence=sure)
