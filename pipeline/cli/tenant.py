"""The Auth0 tenant of a command: the credentials of an application, by options, environment, secret or question."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from botocore.exceptions import ClientError

from pipeline.auth0.management import Management
from pipeline.auth0.settings import Auth0
from pipeline.auth0.streams import VERBS, Kind, Stream, Streams, Verb, scopes
from pipeline.cli import aws
from pipeline.cli.terminal import ask, ask_secret, can_ask
from pipeline.deploy import DeployError, event_sources
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.kept import Application, Secret
from pipeline.deploy.preflight import Identity, identify
from pipeline.deploy.variables import check_region, read_file
from pipeline.progress import Step

SECRET_VARIABLE: Final = "AUTH0_CLIENT_SECRET"  # noqa: S105 - a name
"""The variable of the client secret. There is no option: others on the machine see a command's arguments."""

Domain = Annotated[str, typer.Option(envvar="AUTH0_DOMAIN", help="The tenant's own domain, such as acme.eu.auth0.com.")]
ClientId = Annotated[
    str, typer.Option(envvar="AUTH0_CLIENT_ID", help="Client id of a Machine to Machine application of the tenant.")
]
PrivateCloud = Annotated[
    bool, typer.Option("--private-cloud", help="Send the secret to a domain that does not end in .auth0.com.")
]
Region = Annotated[str, typer.Option(help="Region of the data; by default that of the shell.")]
SourceRegion = Annotated[str, typer.Option(help="Region to which Auth0 delivers, if Auth0 does not offer the data's.")]
Account = Annotated[str, typer.Option(help="The AWS account that the shell's credentials must be of.")]


@dataclass(frozen=True)
class Place:
    """The account and the regions of a deployment, which need not exist yet."""

    deployment: Deployment
    identity: Identity
    source_region: str

    @classmethod
    def of(cls, deployment: Deployment, region: str, source_region: str, account: str) -> "Place":
        """Return the place that options, the file of variables, or else the shell or a person name."""
        there = read_file(deployment.variables_file)
        region = region or there.get("region", "")
        if not (region or _shell_has_region()) and can_ask():
            region = ask("Region of the data, such as eu-central-1")
        identity = identify({"region": check_region(region) if region else None})
        if account and account != identity.account:
            raise DeployError(
                f"The credentials of this shell are of account {identity.account}, not {account}. Choose others "
                "(export AWS_PROFILE=…)."
            )
        found = source_region or there.get("source_region") or identity.region
        return cls(deployment, identity, check_region(found))

    def secret(self) -> Secret:
        """Return the secret of the environment."""
        return Secret(aws.client("secretsmanager", region_name=self.identity.region), self.deployment.name)

    def events(self) -> Any:
        """Return a client of EventBridge in the region of the event sources."""
        return aws.client("events", region_name=self.source_region)

    def __str__(self) -> str:
        """Return the account and the region of the event sources, for a message."""
        return f"account {self.identity.account}, region {self.source_region}"


def _shell_has_region() -> bool:
    import boto3

    return bool(os.environ.get("AWS_REGION") or boto3.Session().region_name)


def application(place: Place, domain: str, client_id: str, *, private_cloud: bool) -> Application:
    """Return the application of the options and the environment; the secret, or a person, names what they leave out.

    Raises DeployError for what nobody names, and for a domain that must not get a secret.
    """
    client_secret = os.environ.get(SECRET_VARIABLE, "")
    if not (domain and client_id and client_secret) and (kept := place.secret().read()):
        domain = domain or kept.domain
        if kept.domain == _host(domain) and client_id in ("", kept.client_id):
            client_id, client_secret = kept.client_id, client_secret or kept.client_secret
    domain = domain or _answer("Auth0 domain, such as acme.eu.auth0.com", "--domain or AUTH0_DOMAIN")
    host = _host(domain)
    if not (host.endswith(".auth0.com") or private_cloud):
        raise DeployError(
            f"{domain!r} does not end in .auth0.com, and would get the application's secret. Name the tenant's own "
            "domain, not a custom one; for a private cloud: --private-cloud."
        )
    client_id = client_id or _answer("Client id of the application", "--client-id or AUTH0_CLIENT_ID")
    client_secret = client_secret or _client_secret("the application")
    if not client_secret:
        raise DeployError(
            f"There is no client secret: set {SECRET_VARIABLE}, or run this in a terminal, which asks for it."
        )
    return Application(host, client_id, client_secret)


def known_application(secret: Secret, domain: str, client_id: str) -> Application:
    """Return the application that has created the streams. Raises DeployError if its client secret is unknown."""
    kept = secret.read()
    if kept and (kept.domain, kept.client_id) == (domain, client_id):
        return kept
    client_secret = _client_secret(f"the application {client_id}")
    if not client_secret:
        raise DeployError(f"There is no secret {secret.name} of their application, and no {SECRET_VARIABLE}.")
    return Application(domain, client_id, client_secret)


def management(found: Application, step: Step) -> Management:
    """Return a client of the Management API that shows its waits in a step."""
    variables = {
        "AUTH0_DOMAIN": found.domain,
        "AUTH0_CLIENT_ID": found.client_id,
        SECRET_VARIABLE: found.client_secret,
        "AUTH0_BASE_URL": os.environ.get("AUTH0_BASE_URL", ""),
    }
    return Management(Auth0.from_env(variables), found.credentials, tell=step.update)


def sign_in(
    found: Application, step: Step, *kinds: Kind, verbs: Iterable[Verb] = VERBS, more: Iterable[str] = ()
) -> Streams:
    """Return the streams of the tenant, after a check of the credentials, and of the permissions plus ``more``."""
    api = management(found, step)
    api.require([*scopes(*kinds, verbs=verbs), *more])
    step.update(f"{found.domain}, application {found.client_id}")
    return Streams(api)


def in_buses(events: Any, streams: list[Stream]) -> dict[str, str]:
    """Return the state of each stream's event source in EventBridge; nothing if the caller may not see them."""
    with suppress(ClientError):
        there = event_sources.states(events)
        return {stream.source: there.get(stream.source, "none") for stream in streams}
    return {}


def _answer(question: str, instead: str) -> str:
    answer = ask(question) if can_ask() else ""
    if not answer:
        raise DeployError(f"Nobody has answered: {question}. Give {instead}.")
    return answer


def _client_secret(whose: str) -> str:
    """Return the client secret of the environment, or else ask for it; empty if there is neither."""
    found = os.environ.get(SECRET_VARIABLE, "")
    return found or (ask_secret(f"Client secret of {whose} (not shown)") if can_ask() else "")


def _host(domain: str) -> str:
    return domain.strip().lower().removeprefix("https://").rstrip("/")
