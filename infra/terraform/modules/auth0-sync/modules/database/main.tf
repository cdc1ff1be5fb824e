# Aurora PostgreSQL Serverless v2 in private subnets. The functions sign in by IAM token over verified TLS; the master user's
# password is managed and rotated by RDS in Secrets Manager, and only the Data API uses it.

locals {
  port        = 5432
  log_exports = ["postgresql", "iam-db-auth-error"]

  # RDS reads a bare "18" as that version's default minor version, which may be older or newer than the cluster's after
  # AWS's own upgrades: it refuses an older one, and upgrades to a newer one. The provider sends the version with every
  # change, so it gets a full one: the cluster's own while that is of the wanted major version.
  running        = one(data.aws_rds_cluster.running[*].engine_version)
  running_major  = local.running == null ? null : split(".", local.running)[0]
  wanted         = coalesce(var.aurora.engine_version, local.running_major, local.default_major)
  major          = split(".", local.wanted)[0]
  default_major  = "18" # of a new cluster; a running one keeps its own until the variable changes
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
  #checkov:skip=CKV2_AWS_27:The cluster logs statements that change the schema. The check also asks for a log of slow statements, but they contain users' data
  #checkov:skip=CKV2_AWS_8:The cluster has continuous backups, to any second of backup_retention_days; a plan of AWS Backup is the account's choice
  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_mode        = "provisioned" # RDS' name for Serverless v2
  engine_version     = local.engine_version
  database_name      = var.aurora.database_name
  port               = local.port

  # Only a change of the variable upgrades the major version.
  allow_major_version_upgrade = true
  # Apply planned changes at once, not in the next maintenance window.
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

  depends_on = [aws_cloudwatch_log_group.this] # else RDS creates them, without retention and key
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

  # Performance Insights is the API's name for Database Insights in standard mode.
  performance_insights_enabled          = var.aurora.performance_insights
  performance_insights_kms_key_id       = var.aurora.performance_insights ? var.kms_key_arn : null
  performance_insights_retention_period = var.aurora.performance_insights ? 7 : null # days, which cost nothing
}

resource "aws_rds_cluster_parameter_group" "this" {
  # Create the next major version's group before this one is deleted.
  name        = "${var.name}-aurora-postgresql${local.major}"
  family      = "aurora-postgresql${local.major}"
  description = "Parameters of the Aurora cluster ${var.name}."

  # From 17 on this is the engine's default, and RDS does not describe it as set: every plan would set it again.
  dynamic "parameter" {
    for_each = tonumber(local.major) < 17 ? ["1"] : []

    content {
      name  = "rds.force_ssl"
      value = parameter.value
    }
  }

  # Milliseconds. An abandoned session blocks migrations and vacuum of a table.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "300000"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  # The others keep users' data out of the log: errors of statements quote values, and "log" leaves errors out; slow
  # statements contain values, and log_min_duration_statement is off by default.
  parameter {
    name  = "log_min_messages"
    value = "log"
  }

  parameter {
    name  = "log_min_error_statement"
    value = "panic"
  }

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

# The password of auth0_query, which reads through the Data API. The roles function writes it, so that Terraform's state
# does not hold it.
resource "aws_secretsmanager_secret" "query" {
  #checkov:skip=CKV2_AWS_57:The roles function changes the password, in the database and in this secret, at each run
  name                    = "${var.name}-query"
  description             = "Password of auth0_query in the Aurora cluster ${var.name}; the function ${var.name}-roles renews it."
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 0 # the next deployment needs the name, and makes a new password
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
