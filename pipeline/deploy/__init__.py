"""Deploy to an AWS account: run Terraform, migrate, test, tear down.

The account and the credentials are the caller's, as the AWS SDKs find them in the environment: a profile, single
sign-on or an endpoint of an emulator.
"""

from pipeline.errors import CommandError


class DeployError(CommandError):
    """A deployment could not be made, used or removed; the message gives the reason and the remedy."""
