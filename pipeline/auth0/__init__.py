"""Auth0's Management API: fetch the users that events name but do not carry.

The refresh function speaks HTTP itself and leaves the official SDK to commands on an engineer's machine. The mirror
wants the user's JSON as Auth0 wrote it, while the SDK reads it into models with strict dates; the SDK sleeps through
rate limits where the function must stop in time; and it is 54 MB and a second of start-up against nothing, as boto3
brings urllib3 along. Tests hold the requests made here against those of the SDK.
"""
