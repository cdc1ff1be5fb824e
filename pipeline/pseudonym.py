"""The name of a user in logs: the same in every line of a deployment, without a clue to the person."""

import hmac
import os
from hashlib import sha256

VARIABLE = "PSEUDONYM_KEY"
"""The variable with the deployment's key; without the key, nobody can test a guessed id."""


def pseudonym(user_id: str, key: str | None = None) -> str:
    """Return a user's name in the logs of the deployment with ``key``, by default that of the environment."""
    secret = os.environ.get(VARIABLE, "") if key is None else key
    return hmac.new(secret.encode(), user_id.encode("utf-8", "replace"), sha256).hexdigest()[:16]
