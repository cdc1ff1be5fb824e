data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

# Buses: one for each partner event source that Auth0 created in this account.

module "log_bus" {
  source = "./modules/bus"

  source_name = var.log_stream_source_name
  create      = var.create_buses
}

module "event_bus" {
  source = "./modules/bus"
  count  = var.event_stream_source_name == null ? 0 : 1

  source_name = var.event_stream_source_name
  create      = var.create_buses
}

# Sinks: each store has its own queue, so that one being down neither delays nor repeats the other's writes.

module "postgres_sink" {
  source = "./modules/consumer"

  name         = "${local.prefix}-postgres"
  rules        = local.rules.user-changes
  target_retry = local.target_retry
  queue        = local.queue
  reading      = local.reading

  function = merge(local.sync_function, {
    name       = "${local.prefix}-sync-postgres"
    package    = "${local.package_dir}/sync-postgres.zip"
    statements = local.database_statements.writer
    vpc_config = var.vpc_config
  })
  function_environment = local.postgres_sink_environment
}

module "dynamodb_sink" {
  source = "./modules/consumer"

  name         = "${local.prefix}-dynamodb"
  rules        = local.rules.user-changes
  target_retry = local.target_retry
  queue        = local.queue
  reading      = local.reading

  function = merge(local.sync_function, {
    name       = "${local.prefix}-sync-dynamodb"
    package    = "${local.package_dir}/sync-dynamodb.zip"
    statements = [{ actions = ["dynamodb:PutItem"], resources = [module.mirror.table_arn] }]
    vpc_config = null
  })
  function_environment = merge(local.function_environment, {
    SINK                    = "dynamodb"
    USERS_TABLE             = module.mirror.table_name
    POWERTOOLS_SERVICE_NAME = "sync-dynamodb"
  })
}

module "mirror" {
  source = "./modules/mirror"

  name                   = "${local.prefix}-users"
  point_in_time_recovery = var.users_table_point_in_time_recovery
  deletion_protection    = var.users_table_deletion_protection
}

# Migrations: the function is deployed here and invoked by whoever deploys, before and apart from the sync.

module "migrate" {
  source = "./modules/function"

  name                 = "${local.prefix}-migrate"
  description          = "Brings the Postgres schema to a revision."
  package              = "${local.package_dir}/migrate.zip"
  handler              = "pipeline.functions.migrate.handler"
  runtime              = var.lambda_runtime
  architecture         = var.lambda_architecture
  memory_mb            = var.migrate_memory_mb
  timeout_seconds      = var.migrate_timeout_seconds
  reserved_concurrency = var.migrate_reserved_concurrency
  log_retention_days   = var.log_retention_days
  statements           = local.database_statements.migrator
  vpc_config           = var.vpc_config
  environment = merge(local.function_environment, local.database_environment.migrator, {
    POWERTOOLS_SERVICE_NAME = "migrate"
  })
}

# Archive: every event on the buses, in S3 and in Athena.

module "archive" {
  source = "./modules/archive"

  name          = "${local.prefix}-archive"
  bucket_name   = "${local.prefix}-archive-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.id}"
  force_destroy = var.force_destroy

  bus_names     = local.bus_names
  event_pattern = file("${path.module}/patterns/everything.json")
  target_retry  = local.target_retry
  dlq_retention = var.queue_retention_seconds

  dlq_max_message_bytes = var.queue_max_message_bytes

  prefix                = var.archive_prefix
  error_prefix          = var.archive_error_prefix
  buffering_size_mb     = var.archive_buffering_size_mb
  buffering_seconds     = var.archive_buffering_seconds
  glacier_ir_after_days = var.archive_glacier_ir_after_days
  expire_after_days     = var.archive_expire_after_days
  log_retention_days    = var.log_retention_days

  database_name         = replace(local.prefix, "-", "_")
  table                 = local.archive
  first_day             = var.archive_first_day
  results_expire_days   = var.athena_results_expire_after_days
  bytes_scanned_cutoff  = var.athena_bytes_scanned_cutoff
  athena_workgroup_name = local.prefix
}
