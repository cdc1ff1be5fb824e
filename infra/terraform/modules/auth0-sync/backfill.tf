# Backfill: loads the users of an export. The function reads a slice of it, and hands it to a sink's function, which alone
# reaches the store: neither the VPC's network nor the sinks' roles change for it.

locals {
  # Known before the sinks' functions are there, as those of the refresh.
  backfill_alias_arns = [
    for sink in ["dynamodb", "postgres"] : join(":", [
      "arn:${local.account.partition}:lambda:${local.account.region}",
      "${local.account.id}:function:${local.prefix}-sync-${sink}:backfill",
    ])
  ]
}

locals {
  # The function runs longer than a sink's, whose wait may be shorter than this.
  backfill_queues = merge(var.queues, { visibility_timeout_seconds = null })
}

# The backfill may invoke only this ARN of a sink's function, which takes slices of exports there and no events.
resource "aws_lambda_alias" "backfill" {
  for_each = var.backfill == null ? {} : local.sinks

  name             = "backfill"
  description      = "Invoked by the backfill alone, with slices of exports."
  function_name    = each.value.function_name
  function_version = "$LATEST"
}

module "backfill" {
  source = "./modules/consumer"
  count  = var.backfill == null ? 0 : 1

  account                  = local.account
  name                     = "${local.prefix}-backfill"
  rules                    = {}
  queues                   = local.backfill_queues
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  operator_arns            = local.operator_arns

  # A slice takes as long as the sink's function may take. One message is one slice: a slice that fails returns alone.
  event_source_mapping = {
    enabled              = var.sync.enabled
    timeout_seconds      = min(var.sync.timeout_seconds + 30, 900)
    batch_size           = 1
    batch_window_seconds = 0
    maximum_concurrency  = var.backfill.maximum_concurrency
  }

  function = {
    name                 = "${local.prefix}-backfill"
    description          = "Hands slices of an export of users to the sinks' functions."
    package              = "${var.package_dir}/backfill.zip"
    handler              = "pipeline.functions.backfill.handler"
    runtime              = var.lambda.runtime
    architecture         = var.lambda.architecture
    memory_mb            = 256
    reserved_concurrency = null
    log_retention_days   = var.logs.retention_days
    statements = concat(
      module.archive.load_statements,
      [{ actions = ["lambda:InvokeFunction"], resources = local.backfill_alias_arns, conditions = {} }],
    )
    vpc_config = null # it has to reach S3 and Lambda
  }
  function_environment = merge(local.sync_environment, {
    ARCHIVE_BUCKET = module.archive.bucket_name
    SINK_FUNCTIONS = join(",", [for sink, alias in aws_lambda_alias.backfill : "${sink}=${alias.function_name}:${alias.name}"])
    SERVICE_NAME   = "backfill"
  })
}
