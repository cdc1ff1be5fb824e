# Your own Postgres: RDS, Aurora or any other of version 16 or later; auth0-sync has schema auth0 in it. Its roles come from
# `auth0-sync roles`, which prints the SQL for its administrator to run (docs/database.md). Copy it, and give what says
# CHANGE-ME.

environment = "prod" # part of every name: 1 to 10 lower-case letters and digits
region      = "eu-central-1"

# Auth0: Monitoring > Streams > your Log Stream to Amazon EventBridge > its event source, as it stands there.
auth0 = {
  log_stream_source_name = "aws.partner/auth0.com/CHANGE-ME/auth0.logs"
}

# RDS or Aurora with IAM authentication: no password anywhere.
# resource_id: aws rds describe-db-clusters (DbClusterResourceId) or describe-db-instances (DbiResourceId).
database = {
  host        = "CHANGE-ME.cluster-abcdefghijkl.eu-central-1.rds.amazonaws.com"
  name        = "auth0"
  resource_id = "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
}

# Any other server: no `database`, but a URL. It holds a password, so give it as TF_VAR_database_url, not in a file.

# Where the functions must be to reach the server: private subnets, and a security group that it lets in. They need nothing
# else from the network. Leave it out if the server can be reached from the internet.
vpc_config = {
  subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  security_group_ids = ["sg-0123456789abcdef0"]
}

alarms = {
  emails = ["CHANGE-ME@example.com"] # each gets a mail, and must confirm; or topic_arn, of a topic of yours
}
