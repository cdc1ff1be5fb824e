"""Times in options: how long ago, or a moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def past(text: str, now: datetime) -> datetime:
    """Return the moment of an option such as ``2h``, ``2026-11-22``, or ``2026-11-22T08:00Z``; UTC without an offset.

    Raises typer.BadParameter for other text, and for a moment in the future.
    """
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time: 30m, 2h, 3d, 2026-11-22 or 2026-11-22T08:00:00Z") from None
    if moment > now:
        raise typer.BadParameter(f"{moment:%Y-%m-%dT%H:%M:%SZ} is in the future")
    return moment
