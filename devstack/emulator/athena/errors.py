"""The one exception of this package."""


class QueryError(Exception):
    """A query fails; the message starts with Athena's error name and becomes the query's StateChangeReason."""
