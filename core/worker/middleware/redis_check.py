"""A worker that starts says what is wrong with the Redis that it works for."""

from __future__ import annotations

import structlog
from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware
from redis import RedisError

from core.redis import connection, health
from core.settings import Settings

_log = structlog.get_logger()


class RedisCheck(Middleware):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def after_worker_boot(self, _broker: Broker, _worker: Worker) -> None:
        client = connection.client(self._settings)
        try:
            for aspect, ok, words in health.examine(client):
                if not ok:
                    _log.warning("Redis may lose jobs", aspect=aspect, reason=words)
        except RedisError as error:
            _log.warning("Redis is waited for", reason=str(connection.refusal(error, self._settings.broker_url)))
        finally:
            client.close()
