"""The tenant of a command is that of the deployment."""

import pytest

from pipeline.cli import auth0
from pipeline.errors import CommandError

ID = "8b47abb4-0c52-4a5f-9a26-000000000000"


@pytest.mark.parametrize(
    ("domain", "tenant", "fits"),
    [
        ("acme.eu.auth0.com", f"acme-{ID}", True),
        ("Acme.eu.auth0.com", f"acme-{ID}", True),
        ("acme.eu.auth0.com", f"acme.eu.auth0.com-{ID}", True),
        ("acme.eu.auth0.com", f"acme.us.auth0.com-{ID}", False),
        ("acme.eu.auth0.com", f"acme-dev-{ID}", False),
        ("acme.eu.auth0.com", f"acme-deadbeef-{ID}", False),
        ("acme-deadbeef.eu.auth0.com", f"acme-deadbeef-{ID}", True),
        ("acme-dev.eu.auth0.com", f"acme-{ID}", False),
        ("acme.eu.auth0.com", "acme-1", True),
        ("acme.eu.auth0.com", "acme", False),
        ("auth.acme.example", f"other-{ID}", True),
    ],
)
def test_another_tenant_than_the_deployments_is_refused(
    domain: str, tenant: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"AUTH0_DOMAIN": domain, "AUTH0_CLIENT_ID": "c", "AUTH0_CLIENT_SECRET": "s"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert auth0.settings("").domain == domain
    if fits:
        assert auth0.settings(f"aws.partner/auth0.com/{tenant}/auth0.logs").domain == domain
    else:
        with pytest.raises(CommandError, match="mirrors the tenant of"):
            auth0.settings(f"aws.partner/auth0.com/{tenant}/auth0.logs")
