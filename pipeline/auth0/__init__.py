"""Auth0's Management API: fetch the users that events name but do not carry.

The refresh function uses HTTP itself and not the official SDK. The stores need the user's JSON as Auth0 wrote it, while
the SDK reads it into models with strict dates; the SDK sleeps through rate limits while the function must stop in time;
and it takes 54 MB and a second of start-up, while urllib3 comes with boto3. Tests compare the requests with the SDK's.
"""
