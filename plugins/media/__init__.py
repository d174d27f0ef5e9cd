"""What the built-in plugins share: strangers' media opened with care, their losses told. As a plugin: its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import hookimpl

if TYPE_CHECKING:
    from pydantic import BaseModel


@hookimpl
def register_settings() -> type[BaseModel]:
    from plugins.media.settings import MediaSettings

    return MediaSettings
