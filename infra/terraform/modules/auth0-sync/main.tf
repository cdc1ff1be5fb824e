data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

data "aws_region" "source" {
  provider = aws.source
}

# Read once, here: in each module it would be another request to STS, and another node that most resources wait for.
locals {
  account = {
    id        = data.aws_caller_identity.current.account_id
    partition = data.aws_partition.current.partition
    region    = data.aws_region.current.id
  }
  source_account = merge(local.account, { region = data.aws_region.source.id })
}

check "data_protection" {
  assert {
    condition     = var.protect_data
    error_message = "protect_data is false: terraform destroy deletes the users, the database and the archive with everything in them, and there is no final snapshot."
  }
}

# If data is protected, every plan warns of settings that leave it at risk.
check "backups" {
  assert {
    condition     = !var.protect_data || var.users_table.point_in_time_recovery
    error_message = "users_table.point_in_time_recovery is false: the users table has no backups."
  }
}

check "watched" {
  assert {
    condition     = !var.protect_data || var.alarms.enabled
    error_message = "alarms.enabled is false: nobody is told when events are lost or late."
  }
}

module "key" {
  source = "./modules/key"
  count  = var.encryption.customer_managed && var.encryption.key_arn == null ? 1 : 0

  account = local.account
  name    = local.prefix
}

# Buses: one for each partner event source that Auth0 created in this account, in the region of the stream.

module "log_bus" {
  source    = "./modules/bus"
  providers = { aws = aws.source }

  source_name = var.auth0.log_stream_source_name
  create      = var.auth0.create_buses
}

module "event_bus" {
  source    = "./modules/bus"
  providers = { aws = aws.source }
  count     = var.auth0.event_stream_source_name == null ? 0 : 1

  source_name = var.auth0.event_stream_source_name
  create      = var.auth0.create_buses
}

module "relay" {
  source    = "./modules/relay"
  providers = { aws = aws, aws.source = aws.source }
  for_each  = var.auth0.source_region == null ? {} : local.partner_bus_names

  account                  = local.source_account
  name                     = "${local.prefix}-${each.key}"
  source_bus_name          = each.value
  permissions_boundary_arn = var.access.permissions_boundary_arn
  operator_arns            = local.operator_arns
  queues                   = var.queues
}

# Key of the users' names in the logs. It is in the state, but of use only with the logs; `terraform apply -replace` makes
# another one, and with it other names.
resource "terraform_data" "pseudonym_key" {
  input = uuid()

  lifecycle {
    ignore_changes = [input]
  }
}

# Sinks: each store has its own queue, so that an outage of one neither delays nor repeats the other's writes.

module "postgres_sink" {
  source = "./modules/consumer"

  account                  = local.account
  name                     = "${local.prefix}-postgres"
  rules                    = local.rules.user-changes
  queues                   = var.queues
  event_source_mapping     = local.event_source_mapping
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  sender_arns              = local.refresh_arns
  operator_arns            = local.operator_arns

  function = merge(local.sync_function, {
    name       = "${local.prefix}-sync-postgres"
    package    = "${var.package_dir}/sync-postgres.zip"
    statements = local.database_statements.writer
    vpc_config = local.database_vpc_config
  })
  function_environment = local.postgres_sink_environment
}

module "dynamodb_sink" {
  source = "./modules/consumer"

  account                  = local.account
  name                     = "${local.prefix}-dynamodb"
  rules                    = local.rules.user-changes
  queues                   = var.queues
  event_source_mapping     = local.event_source_mapping
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  sender_arns              = local.refresh_arns
  operator_arns            = local.operator_arns

  function = merge(local.sync_function, {
    name       = "${local.prefix}-sync-dynamodb"
    package    = "${var.package_dir}/sync-dynamodb.zip"
    statements = module.users_table.write_statements
    vpc_config = null
  })
  function_environment = merge(local.sink_environment, {
    SINK         = "dynamodb"
    USERS_TABLE  = module.users_table.table_name
    SERVICE_NAME = "sync-dynamodb"
  })
}

module "users_table" {
  source = "./modules/users_table"

  account                = local.account
  name                   = "${local.prefix}-users"
  point_in_time_recovery = var.users_table.point_in_time_recovery
  deletion_protection    = var.protect_data
  kms_key_arn            = local.kms_key_arn
}

# Archive: every event on the buses, in S3 and in Athena.

module "archive" {
  source = "./modules/archive"

  account                  = local.account
  name                     = "${local.prefix}-archive"
  bucket_name              = "${local.prefix}-archive-${local.account.id}-${local.account.region}"
  force_destroy            = !var.protect_data
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  eraser_arns              = var.access.archive_eraser_arns
  operator_arns            = local.operator_arns

  bus_names     = local.bus_names
  event_sources = local.event_sources
  event_pattern = file("${path.module}/patterns/everything.json")
  queues        = var.queues

  prefix                = var.archive.prefix
  error_prefix          = var.archive.error_prefix
  buffering_size_mb     = var.archive.buffering_size_mb
  buffering_seconds     = var.archive.buffering_seconds
  glacier_ir_after_days = var.archive.glacier_ir_after_days
  expire_after_days     = var.archive.expire_after_days
  log_retention_days    = var.logs.retention_days
  manifest_role_arn     = var.archive.manifest ? local.manifest_role_arn : null
  object_lock           = var.archive.lock_days != null

  database_name         = replace(local.prefix, "-", "_")
  catalog               = local.generated.archive
  first_day             = var.archive.first_day
  results_expire_days   = var.archive.results_expire_after_days
  bytes_scanned_cutoff  = var.archive.bytes_scanned_cutoff
  athena_workgroup_name = local.prefix
}
