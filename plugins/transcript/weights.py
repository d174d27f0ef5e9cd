"""Which weights serve a language, and where they lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import BadCall, OutOfReach, Permanent, PluginUnavailable
from plugins.transcript.options import Backend, TranscribeOptions
from plugins.transcript.settings import TranscriptSettings

#: When neither the job nor the host names one: the smallest that a lecture can be followed with.
DEFAULT = "small"

#: Official weights by name, and the stem of the file that holds them.
OFFICIAL: Mapping[str, str] = {
    name: {"large": "large-v3", "turbo": "large-v3-turbo"}.get(name, name)
    for name in (
        *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
        *("large", "large-v1", "large-v2", "large-v3", "turbo", "large-v3-turbo"),
    )
}

#: What a folder converted for CTranslate2 is called beside the file of the same weights, and its own chief file.
CONVERTED, MODEL_FILE = "-ct2", "model.bin"


@dataclass(frozen=True)
class Weights:
    """One set of weights: an official name and where it lies, or a file or folder of somebody's own."""

    name: str | None
    path: Path

    def __str__(self) -> str:
        return f"{self.name}{' for CTranslate2' if self.is_converted else ''}" if self.name else str(self.path)

    @property
    def is_converted(self) -> bool:
        """Whether CTranslate2 runs them: a folder, not one of torch's files."""
        return self.path.is_dir()


def folder(own: TranscriptSettings) -> Path:
    """Return where weights that have a name lie: what the settings say, else whisper's own cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (own.folder or Path(cache, "whisper")).expanduser()


def _table(options: TranscribeOptions, own: TranscriptSettings) -> Mapping[str, Any]:
    """Return the models by language: the job's own, else the host's."""
    models = options.models or own.models
    table: Mapping[str, Any] = models.get("WHISPER", models)
    return table


def weights_for(options: TranscribeOptions, language: str, own: TranscriptSettings) -> Weights:
    """Return the weights for a language, "auto" while it isn't known: the job's, the table's, else the default's.

    :raises Permanent: they aren't on this host.
    """
    table = _table(options, own)
    found = table.get(language) or table.get("auto") or {}
    entry: Mapping[str, Any] = {"model": found} if isinstance(found, str) else found
    root = Path(entry["download_root"]) if entry.get("download_root") and not options.model else folder(own)
    named = options.model or str(entry.get("model") or DEFAULT)
    weights = _of_name(named, root, options.backend) if named in OFFICIAL else Weights(None, Path(named).expanduser())
    _check_backend(weights, options.backend)
    if weights.path.is_file() or (weights.path / MODEL_FILE).is_file():
        return weights
    raise missing(named, weights)


def _of_name(name: str, root: Path, backend: Backend) -> Weights:
    """Return official weights as they lie there: converted ones if they may be run, else torch's."""
    converted = root / f"{OFFICIAL[name]}{CONVERTED}"
    is_wanted = backend == "ctranslate2" or (
        backend == "auto" and (converted / MODEL_FILE).is_file() and find_spec("ctranslate2") is not None
    )
    return Weights(name, converted if is_wanted else root / f"{OFFICIAL[name]}.pt")


def _check_backend(weights: Weights, backend: Backend) -> None:
    """Refuse weights that the asked library, or none that is here, can run."""
    wanted = "ctranslate2" if weights.is_converted else "torch"
    if weights.path.exists() and backend not in ("auto", wanted):
        raise Permanent(
            f"{weights.path} is run by {wanted}, and {backend} is asked for",
            remedy="leave out the option backend, or name other weights with the option model",
            path=str(weights.path),
        )
    if weights.is_converted and find_spec("ctranslate2") is None:
        raise Permanent(
            f"{weights.path} is run by CTranslate2, which is not installed",
            remedy="pip install 'amphipod[ct2]', or name a file (.pt) with the option model",
            path=str(weights.path),
        )


def missing(named: str, weights: Weights) -> Permanent | BadCall:
    """Return what is said of weights that aren't there."""
    if weights.name and weights.path.name.endswith(CONVERTED):
        return Permanent(
            f"the model {named} is not on this host in CTranslate2's form (no {weights.path / MODEL_FILE})",
            remedy=f"make it once with `amphipod models convert {named}`, or leave out the option backend",
            path=str(weights.path),
        )
    if weights.name:
        return Permanent(
            f"the model {named} is not on this host (no {weights.path})",
            remedy=f"fetch it once with `amphipod models pull {named}`, or name a file with the option model",
            path=str(weights.path),
        )
    if weights.is_converted:
        return Permanent(
            f"no {MODEL_FILE} in {weights.path}",
            remedy="make the folder with `amphipod models convert`",
            path=str(weights.path),
        )
    kind = Permanent if weights.path.suffix in (".pt", ".gz") or len(weights.path.parts) > 1 else BadCall
    return kind(
        f"there is no model {named}",
        remedy=f"name a file (.pt, .pt.gz), a converted folder, or one of {', '.join(OFFICIAL)}",
        path=str(weights.path),
    )


def places(options: TranscribeOptions, own: TranscriptSettings) -> list[Path]:
    """Return the folders and files that weights may be read from, whichever language is spoken."""
    found = [folder(own), Path(options.model or "").expanduser()]
    for entry in _table(options, own).values():
        one = {"model": entry} if isinstance(entry, str) else entry
        found += [Path(one.get(key) or "").expanduser() for key in ("model", "download_root")]
    return [path for path in found if path.is_absolute() and path.exists()]


def check(options: TranscribeOptions, language: str, own: TranscriptSettings) -> None:
    """Refuse before any work what will not be possible.

    :raises BadCall: there is no such model, or it does not know the language.
    :raises PluginUnavailable: the weights aren't on this host.
    """
    try:
        weights = weights_for(options, language, own)
    except BadCall:
        raise
    except Permanent as error:
        raise PluginUnavailable(error.message, remedy=error.remedy, path=error.path) from error
    if (weights.name or "").endswith(".en") and language not in ("auto", "en"):
        raise only_english(language)


def only_english(language: str) -> BadCall:
    return BadCall(
        f"the model knows only English, and {language} is spoken", remedy="name one without .en", step="transcribe"
    )


def pull(name: str, place: Path) -> Path:
    """Download official weights into the folder `place`, unless they are there; their checksum is verified.

    :raises Permanent: no weights have this name.
    :raises OutOfReach: they can't be fetched.
    """
    if name not in OFFICIAL:
        raise Permanent(f"there is no model {name}", remedy=f"there are {', '.join(OFFICIAL)}")
    import whisper

    url = whisper._MODELS[name]
    try:
        return Path(whisper._download(url, str(place), in_memory=False))  # load_model would load it, too
    except (OSError, RuntimeError) as error:
        raise OutOfReach(f"{url} can't be fetched ({error})", remedy=f"try again, or copy it to {place}") from error


def forms(name: str, place: Path) -> list[str]:
    """Return in which forms official weights lie in `place`."""
    stem = OFFICIAL[name]
    found = {"here": place / f"{stem}.pt", "here for CTranslate2": place / f"{stem}{CONVERTED}" / MODEL_FILE}
    return [form for form, path in found.items() if path.is_file()]
