"""Lambda entry points."""

from functools import cache
from typing import Any, Protocol


class Context(Protocol):
    """The part of Lambda's context that the functions use."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""


@cache
def aws_session() -> Any:
    """Return the execution environment's one session of botocore, which reads AWS's endpoints once."""
    import botocore.session

    return botocore.session.get_session()


def aws_client(service: str, *, attempts: int, connect: float, read: float, **options: Any) -> Any:
    """Return a client that makes a request up to ``attempts`` times, each with these timeouts in seconds.

    ``options`` are further ones of botocore's ``Config``.
    """
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(retries=retries, connect_timeout=connect, read_timeout=read, **options)
    return aws_session().create_client(service, config=config)
