# The least that does the whole job: users in Postgres and DynamoDB, logs in S3, alarms. For a small tenant, or to try it
# out: $5 to $20 a month and what Aurora runs (docs/cost.md). Copy it, and give what says CHANGE-ME.

environment = "minimal" # part of every name: 1 to 10 lower-case letters and digits
region      = "us-east-1"

# Auth0: Monitoring > Streams > your Log Stream to Amazon EventBridge > its event source, as it stands there.
auth0 = {
  log_stream_source_name = "aws.partner/auth0.com/CHANGE-ME/auth0.logs"
}

# Postgres: a cluster that pauses when nobody has changed for an hour, and costs its storage only while it is paused. The
# first change afterwards waits for it, 15 to 30 seconds. Database Insights would keep it from its smallest capacity.
aurora = {
  min_capacity             = 0
  max_capacity             = 2
  seconds_until_auto_pause = 3600
  performance_insights     = false
}

# Encrypted by keys of AWS, at no cost.
encryption = { customer_managed = false }

# A tenant without traffic at night is silent for longer than the usual six hours.
alarms = {
  emails        = ["CHANGE-ME@example.com"] # each gets a mail, and must confirm
  silence_hours = 24
}

logs = { retention_days = 30 }
