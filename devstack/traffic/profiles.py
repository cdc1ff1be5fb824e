"""Make users as Auth0's Management API returns them, and their changes.

A profile is a plain dict in the shape of `GET /api/v2/users/{id}`. No function changes a profile in place: earlier
events still hold the earlier one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from devstack.traffic.seeded_random import SeededRandom

Json = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(milliseconds: int) -> datetime:
    """Return a UTC time from milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def timestamp(milliseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds, as in a log's `date`."""
    return moment(milliseconds).isoformat(timespec="milliseconds")[:-6] + "Z"


def short_timestamp(milliseconds: int) -> str:
    """Return the same time as Auth0 sometimes prints it: without trailing zeros, or without any fraction."""
    text = timestamp(milliseconds)[:-1].rstrip("0")
    # Only a fraction loses zeros: "…:30.000" ends as "…:30.", and never reaches the seconds.
    return text.rstrip(".") + "Z"


@dataclass(frozen=True, slots=True)
class Connection:
    """The source of users of one kind."""

    name: str
    id: str
    strategy: str
    strategy_type: str


DATABASE = Connection("Username-Password-Authentication", "con_p678LcqwTbeDAmDA", "auth0", "database")
GOOGLE = Connection("google-oauth2", "con_zW3tRk81mHcYv0Qe", "google-oauth2", "social")
SAML = Connection("acme-okta", "con_Xf20sLmN7uTjB4rd", "samlp", "enterprise")
EMAIL = Connection("email", "con_8hQpV5yGzA1iKsWo", "email", "passwordless")
SMS = Connection("sms", "con_K9bUe3nCxJ6lRtFa", "sms", "passwordless")

_CONNECTIONS = ((60, DATABASE), (17, GOOGLE), (12, SAML), (6, EMAIL), (5, SMS))

_NAMES = (
    ("Jane", "Doe"), ("Ada", "Lovelace"), ("Miguel", "Hernández"), ("Zoë", "O'Connor"), ("Łukasz", "Żółtowski"),
    ("Søren", "Kjærgård"), ("Björn", "Þórsson"), ("Nguyễn", "Văn An"), ("Олена", "Шевченко"), ("محمد", "الأحمد"),
    ("小龍", "李"), ("はなこ", "山田"), ("Chloé 🌸", "Lefèvre"), ("Ayşe", "Yılmaz"), ("José María", "de la Peña"),  # noqa: RUF001 - names in other scripts are the point
    ("Grace", "Hopper"), ("Tim", "Berners-Lee"), ("Priya", "Ramakrishnan"), ("Kwame", "Nkrumah"), ("Eva", "Müller"),
)  # fmt: skip
_HANDLES = (
    "jane.doe", "ada", "miguel.hernandez", "zoe.oconnor", "lukasz.z", "soren", "bjorn.t", "an.nguyen", "olena",
    "m.alahmad", "li.xiaolong", "hanako", "chloe+shop", "ayse.yilmaz", "jose-maria", "grace", "timbl", "priya.r",
    "kwame", "eva.mueller",
)  # fmt: skip
_DOMAINS = ("acme.example", "mail.example.org", "example.com", "université.example", "corp.example.net")
_LOCALES = ("en-US", "de-DE", "fr-CA", "pt-BR", "ja-JP", "pl-PL", "ar-SA")
_PLANS = ("free", "team", "pro", "enterprise")
_THEMES = ("dark", "light", "system")
_COMPANIES = ("Müller & Söhne GmbH", "Acme, Inc.", "株式会社サンプル", 'The "Quoted" Company', "Back\\slash Ltd")
_ROLES = ("viewer", "editor", "admin", "billing", "support")
_INTERESTS = ("cycling", "chess", "日本語", "gardening", "C++", "open source", "naïve art")
_SENTENCES = (
    "Moved here from the old shop in 2019 and kept the order history.",
    "Prefers to be called after 16:00, Europe/Berlin.",
    "Ünïcödé bio, with a line\nbreak and a tab\tin it.",
    "Signed the new terms; the paper copy is filed under 12/B.",
)


def connection_for(rng: SeededRandom) -> Connection:
    """Return the connection of a new user."""
    return rng.weighted(_CONNECTIONS)


def new_profile(rng: SeededRandom, connection: Connection, number: int, created: int) -> Json:
    """Return a new user.

    :param number: the user's ordinal in this stream; keeps ids apart.
    :param created: milliseconds since 1970.
    """
    who = rng.below(len(_NAMES))
    given, family = _NAMES[who]
    handle = f"{_HANDLES[who]}{number}"
    email = f"{handle}@{rng.pick(_DOMAINS)}"
    identity: Json = {"connection": connection.name, "provider": connection.strategy, "isSocial": False}
    profile: Json = {"created_at": timestamp(created), "email": email, "email_verified": rng.chance(0.8)}
    if connection is SMS:
        local, phone = rng.hex(16) + f"{number:08x}", f"+1555{number:07d}"
        profile = {"created_at": timestamp(created), "phone_number": phone, "phone_verified": True, "name": phone}
    elif connection is GOOGLE:
        local = rng.digits(13) + f"{number:08d}"
        identity["isSocial"] = True
        profile |= {"name": f"{given} {family}", "given_name": given, "family_name": family}
    elif connection is SAML:
        # Name ids come as the company's directory has them: an address, a path, a percent sign.
        name_id = rng.weighted(((85, email), (8, f"ACME/{handle}"), (4, f"{handle}%41"), (3, f"åcme {handle}")))
        local = f"{connection.name}|{name_id}"
        profile |= {"name": f"{given} {family}", "given_name": given, "family_name": family}
    else:
        local = rng.hex(16) + f"{number:08x}"
        profile["name"] = email if rng.chance(0.4) else f"{given} {family}"
        if connection is DATABASE and rng.chance(0.25):
            profile["username"] = handle.replace("+", "_")
    identity["user_id"] = local
    profile["identities"] = [identity]
    profile["nickname"] = handle
    profile["picture"] = f"https://s.gravatar.com/avatar/{rng.hex(32)}?s=480&r=pg&d=mp"
    profile["user_id"] = f"{connection.strategy}|{local}"
    profile["updated_at"] = timestamp(created)
    if rng.chance(0.8):  # a user who never had metadata has no such key at all
        profile["user_metadata"] = {
            key: _user_value(rng, key, created) for key in _USER_KEYS if rng.chance(_USER_KEYS[key])
        }
    if rng.chance(0.6):
        profile["app_metadata"] = {
            key: _app_value(rng, key, created) for key in _APP_KEYS if rng.chance(_APP_KEYS[key])
        }
    return profile


# Probability of each key. Auth0 allows any JSON, with no "." or "$" in a key.
_USER_KEYS = {
    "plan": 0.9, "locale": 0.8, "preferences": 0.7, "marketing": 0.5, "interests": 0.4, "company": 0.4,
    "loyalty_points": 0.4, "rating": 0.2, "onboarded": 0.5, "note": 0.1, "referrer": 0.2, "naïve key ☃": 0.05,
}  # fmt: skip
_APP_KEYS = {"roles": 0.8, "stripe_customer_id": 0.6, "entitlements": 0.4, "trial_ends_at": 0.2, "legacy_id": 0.3}


def _user_value(rng: SeededRandom, key: str, at: int) -> Any:  # noqa: C901 - one case per key
    match key:
        case "plan":
            return rng.pick(_PLANS)
        case "locale":
            return rng.pick(_LOCALES)
        case "preferences":
            notifications = {
                "email": rng.chance(0.7),
                "sms": rng.chance(0.2),
                "digest": rng.pick(("daily", "weekly")),
            }
            return {"theme": rng.pick(_THEMES), "notifications": notifications, "page_size": rng.pick((20, 50, 100))}
        case "marketing":
            return {"consent": rng.chance(0.5), "consented_at": timestamp(at), "channels": ["email", "push"]}
        case "interests":
            return [interest for interest in _INTERESTS if rng.chance(0.4)]
        case "company":
            return rng.pick(_COMPANIES)
        case "loyalty_points":
            return rng.below(100_000)
        case "rating":
            return rng.between(0, 40) / 8  # eighths print the same everywhere
        case "onboarded":
            return rng.chance(0.9)
        case "note":
            return " ".join(rng.pick(_SENTENCES) for _ in range(rng.between(4, 20)))
        case "referrer":
            medium = None if rng.chance(0.5) else "email"
            return {"campaign": rng.hex(8), "medium": medium, "path": ["ad", ["banner", rng.below(9)]]}
        case _:
            return ""


def _app_value(rng: SeededRandom, key: str, at: int) -> Any:
    match key:
        case "roles":
            return [role for role in _ROLES if rng.chance(0.4)]
        case "stripe_customer_id":
            return f"cus_{rng.token(14)}"
        case "entitlements":
            return {"seats": rng.between(1, 500), "features": {"sso": rng.chance(0.3), "audit": rng.chance(0.5)}}
        case "trial_ends_at":
            return timestamp(at + 14 * 86_400_000)
        case _:
            return 9_007_199_254_740_991 - rng.below(1000)  # the largest that JavaScript, and so Auth0, holds exactly


def changed(rng: SeededRandom, profile: Json, at: int) -> tuple[Json, Json]:
    """Return one realistic `PATCH /api/v2/users/{id}`.

    :returns: the request body, which Auth0 merges one level deep into the metadata, and the user after it.
    """
    what = rng.weighted(
        ((45, "set"), (10, "remove"), (5, "clear"), (15, "app"), (15, "name"), (6, "email"), (4, "blocked"))
    )
    user = dict(profile)
    request: Json
    if what in ("remove", "clear") and not user.get("user_metadata"):
        what = "set"  # there is nothing to take away
    if what == "email" and "email" not in user:
        what = "name"
    match what:
        case "set":
            keys = [key for key in _USER_KEYS if rng.chance(0.2)] or ["plan"]
            values = {key: _user_value(rng, key, at) for key in keys}
            request = {"user_metadata": values}
            user["user_metadata"] = user.get("user_metadata", {}) | values
        case "remove":  # a null removes the key
            gone = rng.pick(list(user["user_metadata"]))
            request = {"user_metadata": {gone: None}}
            user["user_metadata"] = {k: v for k, v in user["user_metadata"].items() if k != gone}
        case "clear":
            request = {"user_metadata": {}}
            user["user_metadata"] = {}
            if rng.chance(0.3):  # cleared app_metadata leaves no key behind
                request["app_metadata"] = {}
                user.pop("app_metadata", None)
        case "app":
            keys = [key for key in _APP_KEYS if rng.chance(0.3)] or ["roles"]
            values = {key: _app_value(rng, key, at) for key in keys}
            request = {"app_metadata": values}
            user["app_metadata"] = user.get("app_metadata", {}) | values
        case "name":
            given, family = rng.pick(_NAMES)
            request = {"name": f"{given} {family}", "given_name": given, "family_name": family}
            user |= request
        case "email":
            request = {"email": f"new.{user['nickname']}@{rng.pick(_DOMAINS)}", "email_verified": False}
            user |= request
        case _:
            request = {"blocked": not user.get("blocked", False)}
            user |= request
    return request, user


def logged_in(profile: Json, at: int, ip: str) -> Json:
    """Return the user after a login, for which no log carries the profile."""
    count = profile.get("logins_count", 0) + 1
    return profile | {"last_ip": ip, "last_login": timestamp(at), "logins_count": count, "updated_at": timestamp(at)}
