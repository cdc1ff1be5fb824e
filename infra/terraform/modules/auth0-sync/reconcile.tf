# Reconcile: compares Postgres with DynamoDB on a schedule, and sends the drift as metrics. Off by default.

module "reconcile" {
  source = "./modules/reconcile"
  count  = var.reconcile == null ? 0 : 1

  account                  = local.account
  name                     = "${local.prefix}-reconcile"
  schedule                 = var.reconcile.schedule
  statements               = concat(local.database_statements.reader, module.users_table.compare_statements)
  users_table_arn          = module.users_table.table_arn
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn

  # Beside the group that reaches the cluster, the function gets one of its own, which reaches DynamoDB.
  vpc_config = local.database_vpc_config
  aurora_vpc = local.aurora == null ? null : {
    vpc_id          = coalesce(var.network.vpc_id, one(module.network[*].vpc_id))
    route_table_ids = module.network[*].route_table_id
  }

  function = {
    package            = "${var.package_dir}/reconcile.zip"
    runtime            = var.lambda.runtime
    architecture       = var.lambda.architecture
    memory_mb          = var.reconcile.memory_mb
    log_retention_days = var.logs.retention_days
  }
  function_environment = merge(local.schema_environment, local.database_environment.reader, {
    USERS_TABLE        = module.users_table.table_name
    RECONCILE_LAG      = tostring(var.reconcile.lag_seconds)
    RECONCILE_CONTENTS = var.reconcile.contents ? "on" : "off"
  })
}
