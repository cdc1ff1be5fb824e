# An alarm for everything that loses or delays data. Each has a `kind`, which is a heading in docs/runbook.md, and comes
# once for each queue, rule, function, … that can have the problem. $0.10 a month each: 35 in the smallest deployment,
# 74 with everything.
#
# Meaning of missing data, by metric:
# - `ignore`, the state stays: SQS sends nothing of a queue that has been left alone for hours, full or empty.
# - `missing`: silence is the problem, but only after the first event. A new alarm is INSUFFICIENT_DATA until the first
#   event; after the last one it becomes so again, and this change sends the message.
#   (`breaching` would be in ALARM minutes after a first deployment, as there are no data at all.)
# - `notBreaching`: services send these metrics only for problems, so no data means no problem.

locals {
  sinks   = { for key, consumer in var.consumers : key => consumer if !contains(["refresh", "backfill"], key) }
  refresh = { for key, consumer in var.consumers : key => consumer if key == "refresh" }

  # Dimensions of the functions' own metrics: pipeline/telemetry.py.
  own_dimensions = merge(
    { for key, consumer in local.sinks : key => { deployment = var.name, service = consumer.service, sink = key } },
    { for key, consumer in local.refresh : key => { deployment = var.name, service = consumer.service, function = key } },
    { for _ in var.manifest_function[*] : "manifest" => { deployment = var.name, service = "manifest", function = "manifest" } },
    { for _ in var.reconcile_function[*] : "reconcile" => { deployment = var.name, service = "reconcile", function = "reconcile" } },
  )

  targeted_rules  = { for key, rule in var.rules : key => rule if rule.has_target }
  rule_dimensions = { for key, rule in var.rules : key => { EventBusName = rule.event_bus_name, RuleName = rule.name } }

  own_namespace = "auth0-sync"

  # Metric filters of CloudWatch Logs have no fixed dimensions, so a namespace separates deployments.
  log_namespace = "${local.own_namespace}/${var.name}"

  # Connections that Aurora allows, by AWS's table: about 211 per ACU, fewer with a small minimum capacity.
  max_connections = [
    for aurora in var.aurora[*] : min(211 * aurora.max_capacity - 22, aurora.min_capacity < 1 ? 2000 : 5000)
  ]

  alarm_defaults = {
    metric             = null
    expression         = null # of `metrics`, by id, in place of `metric`
    metrics            = {}
    statistic          = "Sum"
    extended_statistic = null
    period             = 300
    evaluation_periods = 1
    datapoints         = null # all
    comparison         = "GreaterThanThreshold"
    threshold          = 0
    missing            = "notBreaching"
  }

  # A transient problem, such as a failover, ends within a period.
  lasting = { evaluation_periods = 5, datapoints = 3 }

  # Lost, or given up

  lost = merge(
    {
      for key, consumer in var.consumers : "failed-messages-${key}" => {
        kind       = "failed-messages"
        meaning    = "The function of ${key} gave up messages after all their tries: their changes are missing."
        namespace  = "AWS/SQS"
        metric     = "ApproximateNumberOfMessagesVisible"
        dimensions = { QueueName = consumer.failed_queue }
        statistic  = "Maximum"
        missing    = "ignore"
      }
    },
    {
      for key, queue in var.undelivered_queues : "undelivered-events-${key}" => {
        kind       = "undelivered-events"
        meaning    = "EventBridge gave up delivering events to ${key}: they are missing there until they are sent again."
        namespace  = "AWS/SQS"
        metric     = "ApproximateNumberOfMessagesVisible"
        dimensions = { QueueName = queue }
        statistic  = "Maximum"
        missing    = "ignore"
      }
    },
    {
      for key, rule in local.targeted_rules : "failed-invocations-${key}" => {
        kind       = "failed-invocations"
        meaning    = "EventBridge gave up events of the rule ${key}; the dead-letter queue of its target should have them."
        namespace  = "AWS/Events"
        metric     = "FailedInvocations"
        dimensions = local.rule_dimensions[key]
      }
    },
    {
      for key, rule in local.targeted_rules : "lost-events-${key}" => {
        kind       = "lost-events"
        meaning    = "EventBridge gave up events of the rule ${key} and could not put them into the dead-letter queue, as it may not or they are too large: they are lost, but for the archive."
        namespace  = "AWS/Events"
        metric     = "InvocationsFailedToBeSentToDlq"
        dimensions = local.rule_dimensions[key]
      }
    },
    {
      # The metric has one number for "permissions errors, unavailable resources, or size limits". The former two stop
      # every event of a rule, the latter only the large ones.
      for key, rule in local.targeted_rules : "oversized-events-${key}" => {
        kind       = "oversized-events"
        meaning    = "EventBridge lost events of the rule ${key} and delivered others in the same hour: most likely they were too large for the queue and its dead-letter queue."
        namespace  = "AWS/Events"
        expression = "IF(lost > 0 AND invocations > lost, lost, 0)"
        metrics    = { lost = "InvocationsFailedToBeSentToDlq", invocations = "Invocations" }
        dimensions = local.rule_dimensions[key]
        period     = 3600
      }
    },
    {
      for key, _ in local.sinks : "poison-${key}" => {
        kind       = "poison"
        meaning    = "Messages came that can never be stored in ${key}; they will be in its dead-letter queue."
        namespace  = local.own_namespace
        metric     = "Poison"
        dimensions = local.own_dimensions[key]
      }
    },
    {
      for key, _ in local.sinks : "masked-profiles-${key}" => {
        kind       = "masked-profiles"
        meaning    = "Auth0 sends logs with masked fields, which are not written to ${key}: these fields grow stale."
        namespace  = local.own_namespace
        metric     = "Masked"
        dimensions = local.own_dimensions[key]
      }
    },
    {
      for key, _ in local.sinks : "wrong-clock-${key}" => {
        kind       = "wrong-clock"
        meaning    = "Changes for ${key} were dated further ahead than is believed; they are ordered by their events' time."
        namespace  = local.own_namespace
        metric     = "WrongClocks"
        dimensions = local.own_dimensions[key]
      }
    },
    {
      for key, rule in var.rules : "silence-${trimprefix(key, "archive-")}" => {
        kind       = "silence"
        meaning    = "Auth0 has sent nothing to ${trimprefix(key, "archive-")} for ${rule.silence_hours} hours."
        namespace  = "AWS/Events"
        metric     = "MatchedEvents"
        dimensions = local.rule_dimensions[key]
        # Short periods, as CloudWatch reads some periods further back before it treats data as missing.
        period             = 900
        evaluation_periods = rule.silence_hours * 4
        comparison         = "LessThanThreshold"
        threshold          = 1
        missing            = "missing"
      } if rule.silence_hours != null
    },
  )

  # Late

  late = merge(
    {
      for key, consumer in var.consumers : "queue-age-${key}" => {
        kind               = "queue-age"
        meaning            = "Messages have waited in the queue of ${key} for more than ${var.alarms.queue_age_seconds} seconds."
        namespace          = "AWS/SQS"
        metric             = "ApproximateAgeOfOldestMessage"
        dimensions         = { QueueName = consumer.queue }
        statistic          = "Maximum"
        threshold          = var.alarms.queue_age_seconds
        evaluation_periods = 2
        missing            = "ignore"
      } if key != "backfill" # it is a queue of work, which may take hours
    },
    {
      for key, _ in local.sinks : "sync-lag-${key}" => {
        kind       = "sync-lag"
        meaning    = "Changes reach ${key} more than ${var.alarms.lag_seconds} seconds after they were made in Auth0."
        namespace  = local.own_namespace
        metric     = "SyncLag"
        dimensions = local.own_dimensions[key]
        # Most batches in a quarter of an hour: late redeliveries are few batches, or end soon.
        statistic          = null
        extended_statistic = "p50"
        threshold          = var.alarms.lag_seconds * 1000
        evaluation_periods = 3
      }
    },
    {
      for key, _ in local.refresh : "refresh-lag" => {
        kind       = "refresh-lag"
        meaning    = "Users that events only name have waited to be fetched from Auth0 for more than an hour."
        namespace  = local.own_namespace
        metric     = "SignalAge"
        dimensions = local.own_dimensions[key]
        statistic  = "Maximum"
        # An import of thousands of users takes its time at Auth0's rate.
        threshold          = 3600 * 1000
        evaluation_periods = 6
      }
    },
    {
      for key, _ in local.refresh : "doubted-deletions" => {
        kind       = "doubted-deletions"
        meaning    = "Auth0 knows none of the users that the refresh asks for, as another tenant would, so the refresh deletes nobody."
        namespace  = local.own_namespace
        metric     = "Doubted"
        dimensions = local.own_dimensions[key]
        # A single user who is gone again, with no other signal, is nothing unusual.
        threshold = 1
      }
    },
  )

  # Functions. Refresh uses up its time on purpose, so its duration means nothing.

  functions = merge(
    {
      for key, consumer in var.consumers : "function-errors-${key}" => merge(local.lasting, {
        kind       = "function-errors"
        meaning    = "The function of ${key} keeps failing, so that its messages wait: its store or Auth0 is down, or it is broken."
        namespace  = "AWS/Lambda"
        metric     = "Errors"
        dimensions = { FunctionName = consumer.function }
      })
    },
    {
      for key, consumer in var.consumers : "function-throttles-${key}" => merge(local.lasting, {
        kind       = "function-throttles"
        meaning    = "Lambda refuses to run the function of ${key}, which uses up its messages' tries."
        namespace  = "AWS/Lambda"
        metric     = "Throttles"
        dimensions = { FunctionName = consumer.function }
      })
    },
    {
      for key, consumer in local.sinks : "function-duration-${key}" => merge(local.lasting, {
        kind       = "function-duration"
        meaning    = "Batches of ${key} take more than 80 % of the time that their function has."
        namespace  = "AWS/Lambda"
        metric     = "Duration"
        dimensions = { FunctionName = consumer.function }
        statistic  = "Maximum"
        threshold  = consumer.timeout_seconds * 800
      })
    },
    {
      for key, function in var.deploy_functions : "deploy-errors-${key}" => {
        kind       = "deploy-errors"
        meaning    = "The function ${key} failed: the deployment did not get past it, and the version before it runs on."
        namespace  = "AWS/Lambda"
        metric     = "Errors"
        dimensions = { FunctionName = function }
      }
    },
  )

  # Lambda retries a failed run twice, and the next run asks again; findings that have left the window by then are lost.

  watched = {
    for function in var.watch_function[*] : "watch-errors" => {
      kind       = "watch-errors"
      meaning    = "Watched questions could not be asked, or what they found could not be sent: nobody is told of it until that works again."
      namespace  = "AWS/Lambda"
      metric     = "Errors"
      dimensions = { FunctionName = function }
    }
  }

  # Evidence. The function runs every hour, so its metric is missing only if it does not run, or has not yet.

  evidence = merge(
    {
      for function in var.manifest_function[*] : "manifest-errors" => merge(local.lasting, {
        kind       = "manifest-errors"
        meaning    = "The archive's manifests cannot be written: changes of objects that no manifest lists cannot be found."
        namespace  = "AWS/Lambda"
        metric     = "Errors"
        dimensions = { FunctionName = function }
        period     = 3600
      })
    },
    {
      for _ in var.manifest_function[*] : "manifest-age" => {
        kind       = "manifest-age"
        meaning    = "A day of the archive has no manifest 12 hours after it ended, or the function that writes them has not run for hours."
        namespace  = local.own_namespace
        metric     = "ManifestAge"
        dimensions = local.own_dimensions["manifest"]
        statistic  = "Maximum"
        threshold  = 36 * 3600 * 1000 # of the day that is next: 24 hours, and 12
        # `missing`: see above. A first deployment has no run in its first hour.
        period             = 3600
        evaluation_periods = 3
        missing            = "missing"
      }
    },
  )

  # Comparison of the stores. `ignore`: each state stays until the next run, of the day after.

  compared = merge(
    {
      for metric, alarm in {
        Drift = {
          kind    = "drift"
          meaning = "Users in Postgres and in DynamoDB differ, and not because a change is still on its way: the next comparison without a difference ends this."
        }
        Unfinished = {
          kind    = "reconcile-unfinished"
          meaning = "The comparison of the stores did not end in 15 minutes: there are too many users, or too many differ, and nobody knows whether the rest agrees."
        }
        } : alarm.kind => merge(alarm, {
          namespace  = local.own_namespace
          metric     = metric
          dimensions = local.own_dimensions["reconcile"]
          statistic  = "Maximum"
          missing    = "ignore"
      }) if var.reconcile_function != null
    },
    {
      for function in var.reconcile_function[*] : "reconcile-errors" => {
        kind       = "reconcile-errors"
        meaning    = "The comparison of the stores failed, so that nobody knows whether they agree: a store could not be read, or the function is broken."
        namespace  = "AWS/Lambda"
        metric     = "Errors"
        dimensions = { FunctionName = function }
      }
    },
  )

  # Stores

  stores = merge(
    {
      for table in var.users_table[*] : "table-throttles" => merge(local.lasting, {
        kind       = "table-throttles"
        meaning    = "DynamoDB throttles writes to the users table."
        namespace  = "AWS/DynamoDB"
        metric     = "WriteThrottleEvents"
        dimensions = { TableName = table }
      })
    },
    {
      for table in var.users_table[*] : "table-errors" => merge(local.lasting, {
        kind       = "table-errors"
        meaning    = "DynamoDB fails to write to the users table, for reasons of its own."
        namespace  = "AWS/DynamoDB"
        metric     = "SystemErrors"
        dimensions = { TableName = table, Operation = "PutItem" }
      })
    },
    {
      for aurora in var.aurora[*] : "database-capacity" => {
        kind               = "database-capacity"
        meaning            = "Aurora has used more than 90 % of its ${aurora.max_capacity} ACUs for a quarter of an hour."
        namespace          = "AWS/RDS"
        metric             = "ACUUtilization"
        dimensions         = { DBClusterIdentifier = aurora.cluster_identifier }
        statistic          = "Maximum"
        threshold          = 90
        evaluation_periods = 3
      } if aurora.min_capacity < aurora.max_capacity # a cluster of one size is always at its maximum
    },
    {
      for number, aurora in var.aurora[*] : "database-connections" => {
        kind               = "database-connections"
        meaning            = "More than 80 % of the connections that Aurora allows are in use; the sync needs one for each function that runs."
        namespace          = "AWS/RDS"
        metric             = "DatabaseConnections"
        dimensions         = { DBClusterIdentifier = aurora.cluster_identifier }
        statistic          = "Maximum"
        threshold          = floor(0.8 * local.max_connections[number])
        evaluation_periods = 3
      }
    },
  )

  # Archive

  archived = merge(
    {
      for archive in var.archive[*] : "archive-age" => {
        kind               = "archive-age"
        meaning            = "Events have waited to be written to the archive for more than ${var.alarms.archive_age_seconds} seconds."
        namespace          = "AWS/Firehose"
        metric             = "DeliveryToS3.DataFreshness"
        dimensions         = { DeliveryStreamName = archive.firehose }
        statistic          = "Maximum"
        threshold          = var.alarms.archive_age_seconds
        evaluation_periods = 2
      }
    },
    {
      for archive in var.archive[*] : "archive-delivery" => {
        kind       = "archive-delivery"
        meaning    = "Firehose cannot write all events to the archive's bucket; it tries for 24 hours."
        namespace  = "AWS/Firehose"
        metric     = "DeliveryToS3.Success"
        dimensions = { DeliveryStreamName = archive.firehose }
        statistic  = "Average"
        # As long as the longest time that a buffer may take to fill, so that every period has a delivery.
        period             = 900
        evaluation_periods = 2
        comparison         = "LessThanThreshold"
        threshold          = 1
      }
    },
    {
      for archive in var.archive[*] : "archive-throttles" => merge(local.lasting, {
        kind       = "archive-throttles"
        meaning    = "Firehose takes events more slowly than they come; EventBridge tries again for 24 hours."
        namespace  = "AWS/Firehose"
        metric     = "ThrottledRecords"
        dimensions = { DeliveryStreamName = archive.firehose }
      })
    },
    {
      # It fires for objects under the error prefix, too: S3's own count of them would be a paid metric.
      for archive in var.archive[*] : "archive-errors" => {
        kind       = "archive-errors"
        meaning    = "Firehose has logged errors: some events may be under the archive's error prefix instead of in the archive."
        namespace  = local.log_namespace
        metric     = "ArchiveErrors"
        dimensions = {}
      }
    },
  )

  alarms = {
    for key, alarm in merge(local.lost, local.late, local.functions, local.watched, local.evidence, local.compared, local.stores, local.archived) :
    key => merge(local.alarm_defaults, alarm) if var.alarms.enabled
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.meaning} ENV=${var.env}. See ${var.runbook_url}#${each.value.kind}"

  namespace           = each.value.expression == null ? each.value.namespace : null
  metric_name         = each.value.metric
  dimensions          = each.value.expression == null ? each.value.dimensions : null
  statistic           = each.value.expression == null ? each.value.statistic : null
  extended_statistic  = each.value.extended_statistic
  period              = each.value.expression == null ? each.value.period : null
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = coalesce(each.value.datapoints, each.value.evaluation_periods)
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing

  dynamic "metric_query" {
    for_each = each.value.expression[*]

    content {
      id          = "result"
      expression  = metric_query.value
      return_data = true
    }
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = each.value.namespace
        metric_name = metric_query.value
        dimensions  = each.value.dimensions
        period      = each.value.period
        stat        = each.value.statistic
      }
    }
  }

  alarm_actions             = [local.topic_arn]
  ok_actions                = [local.topic_arn]
  insufficient_data_actions = each.value.missing == "missing" ? [local.topic_arn] : []
}

resource "aws_cloudwatch_log_metric_filter" "archive_errors" {
  for_each = var.alarms.enabled ? { for archive in var.archive[*] : "archive" => archive.log_group } : {}

  name           = "${var.name}-archive-errors"
  log_group_name = each.value
  pattern        = "" # every line of that log is an error

  metric_transformation {
    namespace = local.log_namespace
    name      = "ArchiveErrors"
    value     = "1"
  }
}
