# Alarms for everything that loses or delays data, and a dashboard of the flow.

locals {
  env            = coalesce(var.env, var.environment)
  consumer_names = concat(["postgres", "dynamodb"], [for _ in var.refresh[*] : "refresh"], [for _ in var.backfill[*] : "backfill"])

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
  # Names as the modules make them, and outputs of rules and log groups alone: an alarm that depended on what it watches would depend on nearly every
  # resource, be created after all of them and deleted before any.
  consumers = {
    for name in local.consumer_names : name => {
      queue           = "${local.prefix}-${name}"
      failed_queue    = "${local.prefix}-${name}-failed"
      function        = "${local.prefix}-${local.function_prefixes[name]}${name}"
      service         = "${local.function_prefixes[name]}${name}"
      timeout_seconds = name == "refresh" ? var.refresh.timeout_seconds : var.sync.timeout_seconds # no alarm uses the backfill's
    }
  }
  log_groups = [for consumer in local.consumers : consumer.log_group_name]
  undelivered_queues = {
    for name in concat(local.consumer_names, ["archive"]) : name => "${local.prefix}-${name}-undelivered" if name != "backfill"
  }
  rules              = local.watched_rules
  deploy_functions   = { for name in concat(["migrate"], [for _ in var.aurora[*] : "roles"]) : name => "${local.prefix}-${name}" }
  archive            = { firehose = "${local.prefix}-archive", log_group = module.archive.log_group_name }
  users_table        = "${local.prefix}-users"
  watch_function     = var.watch == null ? null : "${local.prefix}-watch"
  manifest_function  = var.archive.manifest ? local.manifest_name : null
  reconcile_function = var.reconcile == null ? null : "${local.prefix}-reconcile"
  aurora = var.aurora == null ? null : {
    cluster_identifier = local.prefix
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
