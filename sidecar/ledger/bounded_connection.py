"""Connections to PostgreSQL that give up a server which stops answering.

The server's own time-outs end a statement that takes too long. A server that is frozen, or whose answers are lost
on the way, keeps none of them.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg

V = TypeVar("V")


def connector(seconds: float) -> Callable[..., psycopg.Connection[Any]]:
    """What makes connections that wait for at most so many seconds for an answer; for SQLAlchemy's `do_connect`."""

    class BoundedConnection(psycopg.Connection[Any]):
        """A connection that closes itself where an answer takes too long, and says so as a broken one does."""

        def wait(self, gen: Generator[Any, Any, V], *arguments: Any, **more: Any) -> V:
            return super().wait(self._until(gen, time.monotonic() + seconds), *arguments, **more)

        def _until(self, gen: Generator[Any, Any, V], deadline: float) -> Generator[Any, Any, V]:
            # psycopg asks every tenth of a second or so, whether or not anything came.
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if time.monotonic() > deadline and not ready:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"no answer within {seconds:g} s: given up")
                    wanted = gen.send(ready)
            except StopIteration as end:
                answer: V = end.value
                return answer

    def connect(
        _: object, __: object, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        return BoundedConnection.connect(*arguments, **options)

    return connect
