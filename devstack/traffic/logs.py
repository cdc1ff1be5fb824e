"""Make tenant logs: one function per kind, each of which returns the log's `data` in the shape of Auth0's stream.

The order of the keys is that of real logs. The target of a `sapi` log is only in its path and response;
`data.user_id` is the actor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from devstack.traffic.profiles import DATABASE, Connection, Json, timestamp
from devstack.traffic.seeded_random import SeededRandom

TENANT = "acme"
ENVIRONMENT = "prod-eu-1"
HOSTNAME = "login.acme.example"

DASHBOARD_CLIENT = "8uKCXVNdM5FBlWQhuXjsEd5CEkb42jd9"
MACHINE_CLIENTS = (
    ("naTYUHwINwCEtmhj8umEL7bHoB57L5e2", "auth0-python/4.7.1"),
    ("q3ZbT0vXyE1rLdWm5nKsHc9uPjGfA2Ri", "Go-Auth0-SDK/latest"),
    ("M7oYxJ4iVtQ8wBzCk0aSpN6eDhUlF5Rg", "axios/1.7.2"),
)
APPLICATIONS = (
    ("JC322sFMG3tV3HePhJjtvDzRsnH12AsI", "Acme Shop"),
    ("WflrpooXWyDv3vzf6LxIzYBd6fafewjw", "Acme Mobile"),
    ("EmEDkk1wKV0bmzZut3rbEC5vxBE6UiZV", "Acme Back Office"),
)
ADMINS = (
    ("google-oauth2|116967649572818180860", "Erin Admin", "erin@acme.example"),
    ("google-oauth2|105261262156475850461", "Sam Öberg", "sam@acme.example"),
    ("auth0|64f0c3a1b2d4e5f60718293a", "Support Desk", "support@acme.example"),
)
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
AGENTS = (
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME}",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT}",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
)

_NOUNS = (
    "actions", "attack_protection", "authentication_methods", "branding", "client_credentials", "client_grants",
    "clients", "connections", "custom_domains", "email_provider", "email_templates", "grants", "guardian_factors",
    "integrations", "log_streams", "organization_connections", "organization_invitations",
    "organization_member_roles", "organization_members", "organizations", "prompts", "requested_scopes",
    "resource_servers", "roles", "shields", "signing_keys", "tenant_invitations", "tenant_members", "users",
)  # fmt: skip
# Scopes of the dashboard's own token: the log of each act of an administrator repeats this whole list.
DASHBOARD_SCOPES = [
    *(f"{verb}:{noun}" for verb in ("create", "read", "update") for noun in _NOUNS),
    "delete:clients",
    "delete:users",
]
# A back-end's client often has many more grants than it uses.
MACHINE_SCOPES = [
    *(f"{verb}:{noun}" for verb in ("create", "delete", "read", "update") for noun in _NOUNS[9:]),
    "create:user_tickets",
    "read:users_app_metadata",
    "update:users_app_metadata",
]


@dataclass(frozen=True, slots=True)
class Visit:
    """The client and device behind a login or another act of a user."""

    user_id: str
    user_name: str
    connection: Connection
    ip: str
    agent: str
    client_id: str
    client_name: str


#: Makes the log of an act of a user.
VisitLog = Callable[[SeededRandom, int, str, Visit], Json]


def ip_address(rng: SeededRandom) -> str:
    """Return an address from the ranges that are reserved for documentation."""
    if rng.chance(0.3):
        return f"2001:db8:{rng.hex(4)}:{rng.hex(4)}::{rng.hex(3)}"
    return f"{rng.pick(('203.0.113', '198.51.100', '192.0.2'))}.{rng.between(1, 254)}"


def _closing(log_id: str) -> Json:
    return {
        "$event_schema": {"version": "1.0.0"},
        "environment_name": ENVIRONMENT,
        "log_id": log_id,
        "tenant_name": TENANT,
    }


def management(
    rng: SeededRandom,
    *,
    at: int,
    log_id: str,
    description: str,
    method: str,
    path: str,
    request: Any,
    status: int,
    response: Any,
) -> Json:
    """Return a `sapi` log: a successful call of the Management API, by an administrator or by a machine."""
    ip = ip_address(rng)
    data: Json = {"date": timestamp(at), "type": "sapi", "description": description}
    exchange: Json
    if rng.chance(0.6):
        user_id, name, email = rng.pick(ADMINS)
        client_id, agent, channel = DASHBOARD_CLIENT, rng.pick(AGENTS), "https://manage.auth0.com/"
        user: Json = {"user_id": user_id, "name": name, "email": email}
        credentials: Json = {"jti": rng.hex(32), "scopes": DASHBOARD_SCOPES}
        actor: Json = {"user_id": user_id}
    else:
        client_id, agent = rng.pick(MACHINE_CLIENTS)
        channel, user, credentials = "api", {}, {"scopes": MACHINE_SCOPES}
        # A machine's call has no user: newer logs lack the key, in older ones it is null.
        actor = {"user_id": None} if rng.chance(0.4) else {}
    exchange = {
        "method": method,
        "path": path,
        "query": {},
        "userAgent": agent,
        "body": request,
        "channel": channel,
        "ip": ip,
        "auth": {"user": user, "strategy": "jwt", "credentials": credentials},
    }
    data |= {"client_id": client_id, "client_name": "", "ip": ip, "user_agent": agent}
    data["details"] = {"request": exchange, "response": {"statusCode": status, "body": response}}
    return data | actor | _closing(log_id)


def user_path(user_id: str) -> str:
    """Return the path of a user in the Management API, encoded as `encodeURIComponent` does."""
    return "/api/v2/users/" + quote(user_id, safe="!'()*")


def user_created(rng: SeededRandom, at: int, log_id: str, profile: Json) -> Json:
    """`POST /api/v2/users`: the response is the whole user."""
    copied = ("email", "phone_number", "username", "name", "user_metadata", "app_metadata")
    request = {key: profile[key] for key in copied if key in profile}
    request["connection"] = profile["identities"][0]["connection"]
    if "email" in profile:
        request["password"] = "*****"  # noqa: S105 - what Auth0 writes in place of it
    return management(
        rng, at=at, log_id=log_id, description="Create a User", method="post", path="/api/v2/users",
        request=request, status=201, response=profile,
    )  # fmt: skip


def user_updated(rng: SeededRandom, at: int, log_id: str, profile: Json, request: Json) -> Json:
    """`PATCH /api/v2/users/{id}`: the response is the whole user."""
    description = "Update a User" if rng.chance(0.8) else "Update a user"  # both spellings are in use
    return management(
        rng, at=at, log_id=log_id, description=description, method="patch", path=user_path(profile["user_id"]),
        request=request, status=200, response=profile,
    )  # fmt: skip


def user_deleted(rng: SeededRandom, at: int, log_id: str, user_id: str) -> Json:
    """`DELETE /api/v2/users/{id}`: only the path names the user."""
    request: Json | None = {} if rng.chance(0.8) else None
    return management(
        rng, at=at, log_id=log_id, description="Delete a User", method="delete", path=user_path(user_id),
        request=request, status=204, response={},
    )  # fmt: skip


def other_management(rng: SeededRandom, at: int, log_id: str, user_id: str) -> Json:
    """Return a call of the Management API that changes no profile; some name a user."""
    method, path, description, request, status, response = rng.pick(_OTHER_CALLS)(rng, user_id)
    return management(
        rng, at=at, log_id=log_id, description=description, method=method, path=path,
        request=request, status=status, response=response,
    )  # fmt: skip


_Call = tuple[str, str, str, Any, int, Any]


def _create_role(rng: SeededRandom, _: str) -> _Call:
    role = {"name": f"role-{rng.hex(4)}", "description": "May read orders"}
    return "post", "/api/v2/roles", "Create a role", role, 200, {"id": f"rol_{rng.token(16)}"} | role


def _assign_roles(rng: SeededRandom, user_id: str) -> _Call:
    body = {"roles": [f"rol_{rng.token(16)}"]}
    return "post", user_path(user_id) + "/roles", "Assign roles to a user", body, 204, {}


def _update_branding(rng: SeededRandom, _: str) -> _Call:
    body = {"colors": {"primary": f"#{rng.hex(6)}", "page_background": "#ffffff"}}
    response = body | {"logo_url": "https://cdn.acme.example/logo.svg"}
    return "patch", "/api/v2/branding", "Update branding settings", body, 200, response


def _update_client(rng: SeededRandom, _: str) -> _Call:
    client_id, name = rng.pick(APPLICATIONS)
    body = {"callbacks": ["https://shop.acme.example/callback"]}
    response = {"tenant": TENANT, "client_id": client_id, "name": name, "client_secret": "REDACTED"} | body
    return "patch", f"/api/v2/clients/{client_id}", "Update a client", body, 200, response


def _remove_members(rng: SeededRandom, user_id: str) -> _Call:
    path = f"/api/v2/organizations/org_{rng.token(16)}/members"
    return "delete", path, "Delete members from an organization", {"members": [user_id]}, 204, {}


def _invite(rng: SeededRandom, _: str) -> _Call:
    body = {
        "client_id": rng.pick(APPLICATIONS)[0],
        "invitee": {"email": f"guest.{rng.hex(4)}@example.com"},
        "inviter": {"name": "Erin Admin"},
    }
    path = f"/api/v2/organizations/org_{rng.token(16)}/invitations"
    response = {"id": f"uinv_{rng.token(16)}"} | body
    return "post", path, "Create invitations to organization", body, 201, response


_OTHER_CALLS: tuple[Callable[[SeededRandom, str], _Call], ...] = (
    _create_role, _assign_roles, _update_branding, _update_client, _remove_members, _invite
)  # fmt: skip


def _visit_data(visit: Visit, log_type: str, description: str, at: int, details: Json) -> Json:
    return {
        "date": timestamp(at),
        "type": log_type,
        "description": description,
        "connection": visit.connection.name,
        "connection_id": visit.connection.id,
        "client_id": visit.client_id,
        "client_name": visit.client_name,
        "ip": visit.ip,
        "user_agent": visit.agent,
        "details": details,
        "hostname": HOSTNAME,
        "user_id": visit.user_id,
        "user_name": visit.user_name,
        "strategy": visit.connection.strategy,
        "strategy_type": visit.connection.strategy_type,
    }


def login(rng: SeededRandom, at: int, log_id: str, visit: Visit, count: int) -> Json:
    """`s`: a successful login. `count` is the number of logins of this user so far."""
    began, answered, stats = at - rng.between(4_000, 60_000), at - rng.between(200, 900), {"loginsCount": count}
    prompts: list[Json] = [
        {
            "name": "login",
            "flow": "login",
            "initiatedAt": began,
            "completedAt": answered + 3,
            "user_id": visit.user_id,
            "user_name": visit.user_name,
            "timers": {"rules": rng.between(5, 200)},
            "elapsedTime": answered + 3 - began,
        }
    ]
    if visit.connection is DATABASE:
        prompts.insert(
            0,
            {
                "name": "lock-password-authenticate",
                "initiatedAt": answered - 300,
                "completedAt": answered,
                "connection": visit.connection.name,
                "connection_id": visit.connection.id,
                "strategy": visit.connection.strategy,
                "identity": visit.user_id.partition("|")[2],
                "stats": stats,
                "session_user": rng.hex(24),
                "elapsedTime": 300,
            },
        )
    details: Json = {
        "prompts": prompts,
        "initiatedAt": began,
        "completedAt": answered + 5,
        "elapsedTime": answered + 5 - began,
        "session_id": rng.token(32),
        "stats": stats,
    }
    return _visit_data(visit, "s", "Successful login", at, details) | _closing(log_id)


def wrong_password(_: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`fp`: the user exists, the password is wrong."""
    text = "Wrong email or password."
    return _visit_data(visit, "fp", text, at, {"error": {"message": text}}) | _closing(log_id)


def unknown_user(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`fu`: there is no such user; `user_name` has the typed text."""
    text = "Wrong email or password."
    data = _visit_data(visit, "fu", text, at, {"error": {"message": text}})
    return data | {"user_id": "", "user_name": f"typo.{rng.hex(4)}@example.com"} | _closing(log_id)


def signed_up(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`ss`: carries the request, not the stored user. Auth0 also logs it for users that an API call creates."""
    body = {
        "client_id": visit.client_id,
        "connection": visit.connection.name,
        "email": visit.user_name,
        "password": "*****",
        "tenant": TENANT,
        "transaction": {
            "id": f"tx_{rng.token(16)}",
            "locale": "en",
            "protocol": "oidc-basic-profile",
            "requested_scopes": ["openid", "profile", "email"],
            "acr_values": [],
            "ui_locales": [],
            "redirect_uri": "https://shop.acme.example/callback",
            "prompt": [],
            "state": rng.token(32),
            "login_hint": None,
            "response_mode": "query",
            "response_type": ["code"],
        },
        "request_language": "en-US,en;q=0.9",
    }
    return _visit_data(visit, "ss", "Successful signup", at, {"body": body}) | _closing(log_id)


def deletion_notice(_: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`sdu`: precedes the `sapi` log of a deletion; names the user in its description only, without the provider."""
    data = _visit_data(visit, "sdu", f"user_id: {visit.user_id.partition('|')[2]}", at, {})
    return data | {"user_id": "", "user_name": ""} | _closing(log_id)


def password_changed(_: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`scp`: the user has a new password."""
    details = {
        "title": "Password Changed",
        "email": visit.user_name,
        "query": {},
        "body": {"resetPasswordPage": "*****", "newPassword": "*****"},
    }
    text = "You can now login to the application with the new password."
    return _visit_data(visit, "scp", text, at, details) | _closing(log_id)


def blocked(_: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`limit_wc`: too many wrong passwords from one address. Has no details and no user id."""
    text = (
        f"User ({visit.user_name}) attempted 10 consecutive logins unsuccessfully. Brute force protection is enabled "
        "for this connection, further attempts are blocked from this IP address for this user."
    )
    data = _visit_data(visit, "limit_wc", text, at, {}) | {"user_id": ""} | _closing(log_id)
    return {key: data[key] for key in data if key not in ("details", "client_name", "strategy", "strategy_type")}


def code_exchanged(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`seacft`: an authorization code became an access token."""
    details = {"code": "*" * 40 + rng.token(3), "access_token_jti": rng.token(22)}
    data = _visit_data(visit, "seacft", "Authorization code for Access Token", at, details) | _closing(log_id)
    return {key: data[key] for key in data if key not in ("strategy", "strategy_type")}


def silent_login(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`ssa`: a session was used again without asking."""
    details = {"completedAt": at, "elapsedTime": None, "initiatedAt": at - 80, "session_id": rng.token(32)}
    data = _visit_data(visit, "ssa", "Successful silent authentication", at, details)
    data |= {"audience": "https://api.acme.example", "scope": ["openid", "profile", "email"]}
    auth0_client = {"name": "auth0-spa-js", "version": "2.1.3"}
    return data | {"auth0_client": auth0_client} | _closing(log_id)


def logged_out(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`slo`: the user logged out."""
    details = {
        "return_to": "https://shop.acme.example",
        "allowed_logout_url": ["https://shop.acme.example"],
        "session_id": rng.token(32),
    }
    data = _visit_data(visit, "slo", "User successfully logged out", at, details) | _closing(log_id)
    return {key: data[key] for key in data if key not in ("strategy", "strategy_type")}


def joined_organization(rng: SeededRandom, at: int, log_id: str, visit: Visit) -> Json:
    """`organization_member_added`: has the user's id without its provider, as the real ones do."""
    text = "Successfully added member to organization"
    data = _visit_data(visit, "organization_member_added", text, at, {"reason": "invitation"})
    data = {key: data[key] for key in data if key not in ("strategy", "strategy_type")}
    data["user_id"] = visit.user_id.partition("|")[2]
    return data | {"organization_id": f"org_{rng.token(16)}", "organization_name": "acme-emea"} | _closing(log_id)
