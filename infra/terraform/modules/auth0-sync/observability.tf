# Alarms for everything that loses or delays data, and a dashboard of the flow.

locals {
  env = coalesce(var.env, var.environment)

  # By subject and stream. A rule without a target only counts.
  watched_rules = merge(
    {
      for key, rule in aws_cloudwatch_event_rule.this : key => {
        name           = rule.name
        event_bus_name = rule.event_bus_name
        has_target     = startswith(key, "user-changes") || contains(keys(local.refresh_rules), key)
      }
    },
    {
      for stream, name in module.archive.rule_names : "archive-${stream}" => {
        name           = name
        event_bus_name = local.bus_names[stream]
        matches_all    = true
        # An Event Stream is silent as long as no user changes, which in a small tenant may be days.
        silence_hours = stream == "log-stream" ? var.alarms.silence_hours : null
      }
    },
  )
}

module "observability" {
  source = "./modules/observability"

  account     = local.account
  name        = local.prefix
  env         = local.env
  runbook_url = var.alarms.runbook_url
  consumers = {
    for name, consumer in local.consumers : name => {
      queue           = consumer.queue_name
      failed_queue    = consumer.failed_queue_name
      function        = consumer.function_name
      log_group       = consumer.log_group_name
      service         = "${local.function_prefixes[name]}${name}"
      timeout_seconds = name == "refresh" ? var.refresh.timeout_seconds : var.sync.timeout_seconds # no alarm uses the backfill's
    }
  }
  undelivered_queues = merge(
    { for name, consumer in local.consumers : name => consumer.undelivered_queue_name if name != "backfill" },
    { archive = module.archive.undelivered_queue_name },
  )
  rules              = local.watched_rules
  deploy_functions   = merge({ migrate = module.migrate.name }, { for roles in module.roles : "roles" => roles.name })
  archive            = { firehose = module.archive.firehose_name, log_group = module.archive.log_group_name }
  users_table        = module.users_table.table_name
  watch_function     = one(module.watch[*].function_name)
  manifest_function  = one(module.manifest[*].name)
  reconcile_function = one(module.reconcile[*].function_name)
  aurora = local.aurora == null ? null : {
    cluster_identifier = local.aurora.cluster_identifier
    min_capacity       = var.aurora.min_capacity
    max_capacity       = var.aurora.max_capacity
  }
  alarms      = var.alarms
  dashboard   = var.dashboard
  kms_key_arn = local.kms_key_arn
}

# CloudWatch alarms see their own region only, so the alarms of the forwarding are in the source's region, with a topic of
# their own that has the same addresses.
module "source_observability" {
  source    = "./modules/observability"
  providers = { aws = aws.source }
  count     = var.auth0.source_region == null ? 0 : 1

  account            = local.source_account
  name               = "${local.prefix}-source"
  env                = local.env
  runbook_url        = var.alarms.runbook_url
  undelivered_queues = { for stream, relay in module.relay : "relay-${stream}" => relay.undelivered_queue_name }
  rules = {
    for stream, relay in module.relay : "relay-${stream}" => { name = relay.rule_name, event_bus_name = local.partner_bus_names[stream] }
  }
  alarms    = merge(var.alarms, { topic_arn = null })
  dashboard = false
}
