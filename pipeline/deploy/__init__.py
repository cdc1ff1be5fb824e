"""A deployment in an AWS account: Terraform run on it, migrated, tried out, taken down.

The account and the credentials are the caller's: whatever the AWS SDKs find in the environment counts, a profile,
single sign-on or an endpoint of an emulator.
"""

from pipeline.errors import CommandError


class DeployError(CommandError):
    """A deployment could not be made, used or removed; the message says why and what to do."""
