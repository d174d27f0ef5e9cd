"""The player: one template, one module and one style sheet, for a job's page and for the page that `run --page` writes.

context = player_context(manifest, "/api/v1/jobs/x/files")
html = part(context, static_url="/static", language="fr")
"""

from core.web.player.context import PlayerContext, player_context
from core.web.player.rendering import page, part

__all__ = ["PlayerContext", "page", "part", "player_context"]
