# For production: both streams of Auth0, a cluster with a reader that takes over, one key of your own, alarms to a person.
# Copy it, and give what says CHANGE-ME. What is not here has a default, which modules/auth0-sync/variables.tf explains.

environment = "prod" # part of every name: 1 to 10 lower-case letters and digits
region      = "eu-central-1"

auth0 = {
  # Auth0: Monitoring > Streams > your Log Stream to Amazon EventBridge > its event source, as it stands there. No filter,
  # or the archive has gaps; no PII masking, or the sync misses what it masks.
  log_stream_source_name = "aws.partner/auth0.com/CHANGE-ME/auth0.logs"

  # Auth0: Event Streams > yours > its event source. With user.created, user.updated and user.deleted it carries every
  # change of a user, whoever made it. Leave the line out if there is none.
  event_stream_source_name = "aws.partner/auth0.com/CHANGE-ME/auth0.events"

  # The region that was chosen when the streams were made in Auth0, if it is another one: events are forwarded from there.
  # source_region = "eu-west-1"
}

# Without an Event Stream: fetch the users that logs name without carrying them.
# refresh = {
#   auth0_domain = "acme.eu.auth0.com"
#   secret_arn   = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-sync-AbCdEf"
# }

# Load the existing users by `auth0-sync backfill` (docs/backfill.md); remove it afterwards.
# backfill = {}

# Postgres. One ACU is about 2 GiB of memory; what runs is billed by the second between these two.
aurora = {
  min_capacity          = 0.5
  max_capacity          = 8
  readers               = 1 # in another availability zone; as large as the writer, and as dear
  backup_retention_days = 14
}

# A VPC of its own, without a way to the internet, is made. To use one of yours:
# network = {
#   vpc_id     = "vpc-0123456789abcdef0"
#   subnet_ids = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
# }

# Bound every role, let others than the first to deploy send to the queues, and let somebody delete from the archive.
# docs/deploy.md has the policies, docs/security.md what they are for.
# access = {
#   permissions_boundary_arn = "arn:aws:iam::123456789012:policy/auth0-sync-prod-boundary"
#   operator_arns            = ["arn:aws:iam::123456789012:role/auth0-sync-apply"]
#   archive_eraser_arns      = ["arn:aws:iam::123456789012:role/auth0-sync-eraser"]
# }

alarms = {
  emails = ["CHANGE-ME@example.com"] # each gets a mail, and must confirm; or topic_arn, of a topic of yours
}

# Tell somebody when it happens, each finding once; docs/logs.md has the questions. The messages hold personal data.
# watch = {
#   questions = { mfa_weakened = {}, login_flow_changes = {}, accounts_under_attack = { minimum = 20 } }
#   emails    = ["security@example.com"]
# }

# Compare Postgres with DynamoDB every night, and alarm on users who differ; docs/reconcile.md has the limits and the cost.
# reconcile = { schedule = "cron(0 3 * * ? *)" }

# Every version of each user's metadata, with who changed it: a row per change.
sync = { history = true }

# Older logs cost a sixth, and can be asked as before. Objects below 128 KB stay where they are: below 120,000 logs a day this
# saves nothing, unless buffering_seconds = 900 makes larger ones (from 40,000 logs a day on).
archive = {
  glacier_ir_after_days = 90
  # expire_after_days   = 2555
  # lock_days           = 365 # Object Lock, which S3 cannot disable again
}

tags = {
  Owner = "CHANGE-ME"
}
