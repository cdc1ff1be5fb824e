locals {
  prefix = "${var.name}-${var.environment}"

  function_environment = {
    LOG_LEVEL          = var.logs.level
    DEPLOYMENT         = local.prefix
    AUTH0_SYNC_VERSION = local.generated.version
    CLOCK_TOLERANCE    = tostring(var.sync.clock_tolerance_seconds)
  }

  # null: keys of AWS.
  kms_key_arn = var.encryption.customer_managed ? coalesce(var.encryption.key_arn, one(module.key[*].arn)) : null
}

locals {
  event_source_mapping = {
    enabled              = var.sync.enabled
    timeout_seconds      = var.sync.timeout_seconds
    batch_size           = var.sync.batch_size
    batch_window_seconds = var.sync.batch_window_seconds
    maximum_concurrency  = var.sync.maximum_concurrency
  }

  sync_function = {
    description          = "Writes user changes to a store."
    handler              = "pipeline.functions.sync.handler"
    runtime              = var.lambda.runtime
    architecture         = var.lambda.architecture
    memory_mb            = var.sync.memory_mb
    reserved_concurrency = var.sync.reserved_concurrency
    log_retention_days   = var.logs.retention_days
  }
}

locals {
  sinks = {
    postgres = module.postgres_sink
    dynamodb = module.dynamodb_sink
  }

  consumers = merge(
    local.sinks,
    { for refresh in module.refresh : "refresh" => refresh },
    { for backfill in module.backfill : "backfill" => backfill },
  )

  # What precedes a consumer's name in its function's name.
  function_prefixes = { postgres = "sync-", dynamodb = "sync-", refresh = "", backfill = "" }

  # Settings of functions that need the migrated schema. SCHEMA_REVISION is for the reader, and for the order of a
  # deployment: new code comes after the migration, and one that fails leaves every function as it was.
  schema_environment = merge(
    local.function_environment,
    { for done in aws_lambda_invocation.migrate : "SCHEMA_REVISION" => jsondecode(done.result).to },
  )
  sync_environment = merge(local.schema_environment, { PSEUDONYM_KEY = terraform_data.pseudonym_key.output })

  # The events that a sink believes: Auth0's from these sources, and of the refresh's role only the refresh's own.
  sink_environment = merge(
    local.sync_environment,
    { EVENT_SOURCES = join(",", compact([var.auth0.log_stream_source_name, var.auth0.event_stream_source_name])) },
    # By its index: all of module.refresh would be a cycle, as its function names those of the sinks.
    var.refresh == null ? {} : { REFRESH_ROLE_ID = module.refresh[0].function_role_id },
  )

  postgres_sink_environment = merge(
    local.sink_environment,
    local.database_environment.writer,
    {
      SINK         = "postgres"
      HISTORY      = var.sync.history ? "on" : "off"
      SERVICE_NAME = "sync-postgres"
    },
  )
}

# Principals that may send to the queues, besides their rules.
locals {
  operator_arns = concat(module.deployers.arns, var.access.operator_arns)
  refresh_arns  = [for _ in var.refresh[*] : "arn:${local.account.partition}:iam::${local.account.id}:role/${local.prefix}-refresh"]
}

module "deployers" {
  source = "./modules/deployers"

  account    = local.account
  caller_arn = data.aws_caller_identity.current.arn
}
