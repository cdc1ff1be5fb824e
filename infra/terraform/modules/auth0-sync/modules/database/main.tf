# Aurora PostgreSQL Serverless v2 in private subnets. The functions sign in by IAM token over verified TLS; the master user's
# password is made, kept and rotated by RDS in Secrets Manager, and only the Data API uses it.

locals {
  port        = 5432
  log_exports = ["postgresql", "iam-db-auth-error"]

  # RDS takes a bare "18" for that version's default minor version, which may be older or newer than what AWS has made of
  # the cluster by itself: it refuses the one, and upgrades to the other. The provider sends the version with every change,
  # so it gets a full one: the cluster's own while that is of the wanted major version.
  running        = one(data.aws_rds_cluster.running[*].engine_version)
  running_major  = local.running == null ? null : split(".", local.running)[0]
  wanted         = coalesce(var.aurora.engine_version, local.running_major, local.default_major)
  major          = split(".", local.wanted)[0]
  default_major  = "18" # of a new cluster; a running one keeps its own until the variable says another
  follows_minor  = local.wanted == local.major
  keeps_running  = local.follows_minor && local.running_major == local.major
  engine_version = local.keeps_running ? local.running : try(data.aws_rds_engine_version.default[0].version_actual, local.wanted)
}

data "aws_rds_clusters" "named" {
  filter {
    name   = "db-cluster-id"
    values = [var.name]
  }
}

data "aws_rds_cluster" "running" {
  count = length(data.aws_rds_clusters.named.cluster_identifiers)

  cluster_identifier = var.name
}

data "aws_rds_engine_version" "default" {
  count = local.follows_minor && !local.keeps_running ? 1 : 0

  engine       = "aurora-postgresql"
  version      = local.major
  default_only = true
}

resource "aws_rds_cluster" "this" {
  #checkov:skip=CKV2_AWS_8:Continuous backups of the cluster itself, to any second of backup_retention_days; a plan of AWS Backup is the account's own business
  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_mode        = "provisioned" # which is how Serverless v2 is called here
  engine_version     = local.engine_version
  database_name      = var.aurora.database_name
  port               = local.port

  # A new major version is only ever asked for by changing it here.
  allow_major_version_upgrade = true
  # What was seen in the plan is done when it is applied, not in some night of the week to come.
  apply_immediately = true

  serverlessv2_scaling_configuration {
    min_capacity             = var.aurora.min_capacity
    max_capacity             = var.aurora.max_capacity
    seconds_until_auto_pause = var.aurora.min_capacity == 0 ? var.aurora.seconds_until_auto_pause : null
  }

  master_username                     = "auth0_admin"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.kms_key_arn
  iam_database_authentication_enabled = true
  enable_http_endpoint                = true

  storage_encrypted = true
  kms_key_id        = var.kms_key_arn

  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [aws_security_group.database.id]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.this.name
  enabled_cloudwatch_logs_exports = local.log_exports

  backup_retention_period   = var.aurora.backup_retention_days
  copy_tags_to_snapshot     = true
  deletion_protection       = var.protect_data
  delete_automated_backups  = !var.protect_data
  skip_final_snapshot       = !var.protect_data
  final_snapshot_identifier = var.protect_data ? "${var.name}-final" : null

  depends_on = [aws_cloudwatch_log_group.this] # else RDS makes them, without retention and key
}

resource "aws_rds_cluster_instance" "this" {
  #checkov:skip=CKV_AWS_118:Enhanced Monitoring keeps a serverless instance from its smallest capacity; Database Insights is on
  count = 1 + var.aurora.readers

  identifier         = "${var.name}-${count.index + 1}"
  cluster_identifier = aws_rds_cluster.this.id
  engine             = aws_rds_cluster.this.engine
  instance_class     = "db.serverless"
  # In tiers 0 and 1 a reader is as large as the writer, so that it can take over at once.
  promotion_tier       = min(count.index, 1)
  db_subnet_group_name = aws_db_subnet_group.this.name
  publicly_accessible  = false

  auto_minor_version_upgrade = local.follows_minor

  # What the API calls Performance Insights is Database Insights, in its standard mode.
  performance_insights_enabled          = var.aurora.performance_insights
  performance_insights_kms_key_id       = var.aurora.performance_insights ? var.kms_key_arn : null
  performance_insights_retention_period = var.aurora.performance_insights ? 7 : null # days, which cost nothing
}

resource "aws_rds_cluster_parameter_group" "this" {
  # The next major version's group is made before this one goes.
  name        = "${var.name}-aurora-postgresql${local.major}"
  family      = "aurora-postgresql${local.major}"
  description = "Parameters of the Aurora cluster ${var.name}."

  # From 17 on this is the engine's default, and RDS does not describe it as set: every plan would want it again.
  dynamic "parameter" {
    for_each = tonumber(local.major) < 17 ? ["1"] : []

    content {
      name  = "rds.force_ssl"
      value = parameter.value
    }
  }

  # Milliseconds. A session that was left open keeps a table from being migrated, and from being vacuumed.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "300000"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Users are the parameters of slow statements, and stand in the details of errors.
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }

  parameter {
    name  = "log_error_verbosity"
    value = "terse"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of the Aurora cluster ${var.name}."
  subnet_ids  = var.subnet_ids
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is a setting, logs.retention_days
  for_each = toset(local.log_exports)

  name              = "/aws/rds/cluster/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
