"""Which record stores there are, and what each of them gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import SecretStr

from core import Statement
from core.errors import BadSettings
from plugins.xapi.anonymize import Scheme

if TYPE_CHECKING:
    from plugins.xapi.settings import RecordStore, XapiSettings

_VOIDED = "http://adlnet.gov/expapi/verbs/voided"


def of(settings: XapiSettings) -> Mapping[str, RecordStore]:
    """Return the stores by name, with all that the settings say of each.

    Raises:
        BadSettings: they contradict each other, or lack something.
    """
    found = settings.record_stores
    stores = {store.name: _completed(store, settings) for store in found}
    if len(stores) < len(found):
        raise BadSettings("two record stores have one name", remedy="see AMPHIPOD_XAPI_STORES", step="emit")
    if any(store.anonymize for store in stores.values()):
        _check_scheme(settings)
    return stores


def _completed(store: RecordStore, settings: XapiSettings) -> RecordStore:
    """Fill in the default for anonymising, and take a password out of the URL, which is shown and logged."""
    parts = urlsplit(store.url)
    changes: dict[str, object] = {}
    if store.anonymize is None:
        changes["anonymize"] = settings.anonymize_actor
    if parts.username:
        changes["url"] = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        changes["login"] = store.login or unquote(parts.username)
        changes["password"] = store.password or SecretStr(unquote(parts.password or ""))
    return store.model_copy(update=changes)


def _check_scheme(settings: XapiSettings) -> None:
    if settings.anonymize_key is None:
        raise BadSettings(
            "anonymising needs a secret, and AMPHIPOD_XAPI_ANONYMIZE_KEY is not set",
            remedy="set it to a long random text and keep it; or, where Esup-Pod has hidden its people already, "
            "take XAPI_ANONYMIZE_ACTOR out of our settings",
            step="emit",
        )
    if settings.anonymize_key_id in settings.anonymize_old_keys:
        raise BadSettings(
            f"the key in force and an earlier one have one name, {settings.anonymize_key_id!r}",
            remedy="give the new key another AMPHIPOD_XAPI_ANONYMIZE_KEY_ID",
            step="emit",
        )
    home = urlsplit(settings.pseudonym_home)
    if not home.hostname or (settings.pseudonym_form == "mailbox" and home.hostname.endswith(".invalid")):
        raise BadSettings(
            f"AMPHIPOD_XAPI_PSEUDONYM_HOME is {settings.pseudonym_home}",
            remedy="set it to an address of yours, https://video.univ.fr; stores refuse mailboxes at .invalid",
            step="emit",
        )


def scheme(settings: XapiSettings) -> Scheme:
    """Return how people are renamed. Call it only where a store anonymises."""
    assert settings.anonymize_key
    return Scheme(
        settings.anonymize_key.get_secret_value().encode(),
        settings.pseudonym_form,
        settings.pseudonym_home,
        settings.anonymize_key_id,
    )


def schemes(settings: XapiSettings) -> list[Scheme]:
    """Return how people are renamed now, and were under the earlier keys."""
    now = [scheme(settings)] if settings.anonymize_key else []
    form, home = settings.pseudonym_form, settings.pseudonym_home
    old = settings.anonymize_old_keys.items()
    return now + [Scheme(key.get_secret_value().encode(), form, home, name) for name, key in old]


def wants(store: RecordStore, statement: Statement) -> bool:
    """Tell whether a store's filter lets a statement through.

    One that voids another passes each: the store may have the other, and where it hasn't, it voids nothing.
    """
    verb, activity = (_id(statement.get(field)) for field in ("verb", "object"))
    if verb == _VOIDED:
        return True
    if store.verbs and verb.rstrip("/").rpartition("/")[2] not in store.verbs:
        return False
    return not store.activities or activity.startswith(store.activities)


def _id(value: object) -> str:
    found = value.get("id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""
