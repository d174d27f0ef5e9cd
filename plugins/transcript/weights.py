"""Which weights serve a language, where they lie, and the one model that this process keeps."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadCall, OutOfReach, Permanent, PluginUnavailable
from plugins.transcript.options import TranscribeOptions
from plugins.transcript.settings import TranscriptSettings

if TYPE_CHECKING:
    from whisper import Whisper

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

_loaded: dict[tuple[Weights, int, int, str], Whisper] = {}


@dataclass(frozen=True)
class Weights:
    """One set of weights: an official name and its file, or a file of somebody's own."""

    name: str | None
    path: Path

    def __str__(self) -> str:
        return self.name or str(self.path)


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
    weights = (
        Weights(named, root / f"{OFFICIAL[named]}.pt") if named in OFFICIAL else Weights(None, Path(named).expanduser())
    )
    if weights.path.is_file():
        return weights
    if weights.name:
        raise Permanent(
            f"the model {named} is not on this host (no {weights.path})",
            remedy=f"fetch it once with `amphipod models pull {named}`, or name a file with the option model",
            path=str(weights.path),
        )
    kind = Permanent if weights.path.suffix in (".pt", ".gz") or len(weights.path.parts) > 1 else BadCall
    raise kind(
        f"there is no model {named}",
        remedy=f"name a file (.pt, .pt.gz) or one of {', '.join(OFFICIAL)}",
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


def load(weights: Weights, device: str) -> Whisper:
    """Return the model; the last one is kept, and serves until other weights are asked for."""
    import whisper

    status = weights.path.stat()
    key = weights, status.st_mtime_ns, status.st_size, device
    if key not in _loaded:
        _loaded.clear()
        try:
            if weights.path.suffix == ".gz":
                with tempfile.NamedTemporaryFile(suffix=".pt") as plain:
                    with gzip.open(weights.path) as packed:
                        shutil.copyfileobj(packed, plain)
                    plain.flush()
                    model = whisper.load_model(plain.name, device=device)
            elif weights.name:
                model = whisper.load_model(weights.name, device=device, download_root=str(weights.path.parent))
            else:
                model = whisper.load_model(str(weights.path), device=device)
        except Exception as error:  # whatever torch, pickle or gzip say of a file that is no model
            words = " ".join(str(error).split())[:200]
            raise Permanent(
                f"the model {weights.path} can't be loaded ({type(error).__name__}: {words})",
                remedy=f"fetch it again with `amphipod models pull {weights.name}`"
                if weights.name
                else "check the file",
                path=str(weights.path),
            ) from error
        _loaded[key] = model.eval()
    return _loaded[key]


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
