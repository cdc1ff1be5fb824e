"""AWS clients for commands. They report unreachable AWS within seconds; by default the SDK takes minutes."""

import sys
from contextlib import suppress
from typing import Any, Final

CONNECT_SECONDS: Final = 2
ATTEMPTS: Final = 3


def client(service: str, **options: Any) -> Any:
    """Return a client. Loads boto3 only here, so that commands without AWS start fast."""
    import boto3

    if boto3.DEFAULT_SESSION is None:
        wait_as_people_do()
    return boto3.client(service, **options)  # type: ignore[call-overload]  # the stubs have an overload per service


def prepare() -> None:
    """Set the timeouts of a command that has loaded boto3; other commands call `client`."""
    if "boto3" in sys.modules:
        wait_as_people_do()


def wait_as_people_do() -> None:
    """Give clients that are created from now on short timeouts and few retries, unless they have their own."""
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    session = botocore.session.get_session()
    retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    session.set_default_client_config(Config(connect_timeout=CONNECT_SECONDS, retries=retries))
    with suppress(ProfileNotFound):  # the first client raises it again, and some commands make none
        boto3.setup_default_session(botocore_session=session)
