"""The embedded stack: Postgres, an AWS emulator and the real Terraform, on this machine's loopback."""

from pipeline.errors import CommandError


class StackError(CommandError):
    """A part of the embedded stack could not be started, used or stopped; the message names it and the remedy."""
