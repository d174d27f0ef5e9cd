"""What the submit page sends, as jobs: one for each film."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from core import validation_messages
from core.errors import AmphipodError, BadCall, LimitExceeded
from core.retention import uploads
from core.settings import Settings
from core.web import submission
from core.web.pages import forms
from core.web.services import Services
from core.web.submission import Origin, Submission

_OPTION = "option:"

#: What is said of a job in one field each.
_SAID = ("language", "title", "output", "priority")

#: Fields that mean one lecture.
_ALONE = ("title", "output", "presentation", "presentation-file")

#: Bytes that go to the disk together.
_AT_ONCE = 1 << 20

#: Bytes of a form beside its films.
_FIELDS = 1 << 20

_CODES = """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha he hi hr ht hu hy id is it ja
    ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq
    sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh
"""

#: Languages that are offered, by their codes of ISO 639-1: those that Whisper knows.
SPOKEN = tuple(_CODES.split())


def check_size(settings: Settings, length: str) -> None:
    """Refuse a form with films that are larger than one may be, before it is read: it would fill the disk.

    Raises:
        LimitExceeded
    """
    limit = settings.web_upload_limit + _FIELDS
    if not length.isdigit() or int(length) > limit:
        raise LimitExceeded(
            f"the films have more than {limit} bytes", remedy="send one by one, or raise AMPHIPOD_WEB_UPLOAD_LIMIT"
        )


def submit(services: Services, form: FormData) -> list[str]:
    """Store a job for each film of the form; returns their ids.

    Raises:
        BadCall: nothing was named, or what was said of it is wrong.
        UnsafePath, NoSpace, NotWritable, LimitExceeded, OutOfReach
    """
    takes = list(_takes(services.settings, form))
    if not takes:
        raise BadCall("no lecture was named", remedy="drop a file, or write a path or an address")
    if len(takes) > 1 and any(name in _ALONE and _is_given(value) for name, value in form.multi_items()):
        raise BadCall(
            "several lectures were named, with a folder, a title or slides that are one lecture's",
            remedy="submit that lecture alone",
        )
    slides = next(_films(services.settings, form, "presentation", "presentation-file"), None)
    asked = [_submission(take, slides, form) for take in takes]
    return [submission.submit(services, one, None) for one in asked]


def given(settings: Settings, form: FormData | None) -> Mapping[str, Any]:
    """Return what was filled in, to be shown again: texts by their names, "" for what is missing."""
    texts = {name: value for name, value in form.items() if isinstance(value, str)} if form else {}
    steps = _texts(form, "step") if form else ["encode"]
    is_more = any(texts.get(name) for name in ("presentation", "title", "output", "notify"))
    more = {"steps": steps, "open": is_more or texts.get("priority", "normal") != "normal"}
    return _Texts(texts | more | {"uploads": _kept(settings, _texts(form, "upload")) if form else []})


def _kept(settings: Settings, sent: Iterable[str]) -> list[tuple[str, str]]:
    """Return the ids and names of films that were sent already: nobody sends two gigabytes twice for a wrong word."""
    found = []
    for upload in sent:
        with suppress(AmphipodError):
            found.append((upload, uploads.folder(settings, upload).film().name))
    return found


class _Texts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return ""


def _is_given(value: str | UploadFile) -> bool:
    return bool(value.strip() if isinstance(value, str) else value.size)


def _texts(form: FormData, name: str) -> list[str]:
    return [one for one in form.getlist(name) if isinstance(one, str) and one.strip()]


def _takes(settings: Settings, form: FormData) -> Iterator[Origin]:
    for upload in _texts(form, "upload"):
        yield Origin(upload=upload)
    yield from _films(settings, form, "source", "file")


def _films(settings: Settings, form: FormData, place: str, sent: str) -> Iterator[Origin]:
    """Yield the films of a field for a path or an address, and of one for files."""
    for file in form.getlist(sent):
        if isinstance(file, UploadFile) and file.filename and file.size:
            yield Origin(upload=_store(settings, file.filename, file.size, file.file))
    for source in _texts(form, place):
        yield Origin(url=source) if source.startswith(("http://", "https://")) else Origin(path=source)


def _store(settings: Settings, name: str, size: int, film: BinaryIO) -> str:
    upload = uploads.begin(settings, name, size)
    with uploads.appending(uploads.folder(settings, upload.id), 0) as place:
        while data := film.read(_AT_ONCE):
            place.write(data)
        place.finish()
    return upload.id


def _submission(take: Origin, slides: Origin | None, form: FormData) -> Submission:
    steps = [*_texts(form, "step"), *(["compose"] if slides else [])]
    said = {name: text for name in _SAID for text in _texts(form, name)}
    try:
        return Submission.model_validate(
            {
                **said,
                "source": take,
                "presentation": slides,
                "steps": tuple(dict.fromkeys(steps)) or None,
                "notify": tuple(_texts(form, "notify")),
                "options": dict(_options(form)),
            }
        )
    except ValidationError as error:
        raise BadCall(validation_messages.told(error)) from error


def _options(form: FormData) -> Iterator[tuple[str, Any]]:
    for name, text in form.multi_items():
        if name.startswith(_OPTION) and isinstance(text, str) and text.strip():
            yield name.removeprefix(_OPTION), forms.parse_option(text.strip())
