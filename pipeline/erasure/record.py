"""Record rewrites of the archive, so that its manifests can tell an erasure from a manipulation."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pipeline import invocation
from pipeline.erasure.objects import Rewrite


def recorder(client: Any, function: str, reference: str) -> Callable[[Sequence[Rewrite]], object]:
    """Return a function that lets the manifest function sign a record of rewrites.

    `reference` names the request, without personal data. A record without a rewrite does no harm; a rewrite without one
    is a finding. Raises CommandError, and then nothing may be rewritten.
    """

    def record(rewrites: Sequence[Rewrite]) -> object:
        request = {"reason": "erasure", "reference": reference, "objects": [asdict(one) for one in rewrites]}
        return invocation.call(
            client,
            function,
            {"erasure": request},
            failed="The erasure was not recorded, so this object was not changed.",
            logs="auth0-sync logs manifest",
        )

    return record
