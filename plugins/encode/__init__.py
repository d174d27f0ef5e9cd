"""The built-in encoder: one decode of the lecture becomes everything that a video portal plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from core import Access, PluginUnavailable, hookimpl
from plugins.media.settings import DEFAULTS, MediaSettings

if TYPE_CHECKING:
    from pydantic import BaseModel

    from core import Context, Division, Job, Part, PartOutput, Source, StepOutput
    from core.settings import Settings


class Plugin:
    """What the host's settings say, for the hooks."""

    _media: MediaSettings = DEFAULTS

    @hookimpl
    def configure(self, settings: Settings) -> None:
        if not (find_spec("av") and find_spec("PIL")):
            raise PluginUnavailable("pip install 'amphipod[encode]'")
        self._media = settings.of_plugin("media", MediaSettings)

    @hookimpl
    def options_schema(self, step: str) -> type[BaseModel] | None:
        from plugins.encode.options import EncodeOptions
        from plugins.encode.studio.options import ComposeOptions

        schemas: dict[str, type[BaseModel]] = {"encode": EncodeOptions, "compose": ComposeOptions}
        return schemas.get(step)

    @hookimpl
    def file_names(self, job: Job, step: str) -> Sequence[str] | None:
        from plugins.encode.output.names import ENCODED, film_name

        return {"encode": ENCODED, "compose": (film_name(job),)}.get(step)

    @hookimpl
    def child_access(self) -> Access:
        return Access(settings=("media",))

    @hookimpl
    def encode(self, job: Job, source: Source, options: Mapping[str, Any], context: Context) -> StepOutput:
        from plugins.encode.engine import encode_lecture
        from plugins.encode.options import EncodeOptions

        return encode_lecture(job, source.path, EncodeOptions.model_validate(dict(options)), context, self._media)

    @hookimpl
    def compose(self, job: Job, sources: Sequence[Source], options: Mapping[str, Any], context: Context) -> StepOutput:
        from plugins.encode.studio.compose import compose_takes
        from plugins.encode.studio.options import ComposeOptions

        return compose_takes(job, sources, ComposeOptions.model_validate(dict(options)), context, self._media)

    @hookimpl
    def keeps_time(self, options: Mapping[str, Any]) -> bool:
        from plugins.encode.options import EncodeOptions

        asked = EncodeOptions.model_validate(dict(options))
        return not (asked.cut_start or asked.cut_end or asked.dressing.opening or asked.dressing.ending)

    @hookimpl
    def divide(self, source: Source, options: Mapping[str, Any], context: Context) -> Division:
        from plugins.encode.options import EncodeOptions
        from plugins.encode.parts.divide import divide_lecture

        return divide_lecture(source.path, EncodeOptions.model_validate(dict(options)), context, self._media)

    @hookimpl
    def encode_part(self, part: Part, options: Mapping[str, Any], context: Context) -> PartOutput:
        from plugins.encode.options import EncodeOptions
        from plugins.encode.parts.encode import encode_one

        return encode_one(part, EncodeOptions.model_validate(dict(options)), context)

    @hookimpl
    def join(self, job: Job, parts: Sequence[PartOutput], options: Mapping[str, Any], context: Context) -> StepOutput:
        from plugins.encode.options import EncodeOptions
        from plugins.encode.parts.join import join_parts

        return join_parts(job, parts, EncodeOptions.model_validate(dict(options)), context)


plugin = Plugin()
