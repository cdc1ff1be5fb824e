# Alarms fire if data is lost or late, and not otherwise; only they can publish to their topic. tests/infra/test_alarms.py holds the same runs together with docs/runbook.md and the functions' metrics.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  account     = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name        = "auth0-sync-test"
  env         = "acme"
  runbook_url = "https://example.com/runbook"
  consumers = {
    postgres = {
      queue           = "auth0-sync-test-postgres"
      failed_queue    = "auth0-sync-test-postgres-failed"
      function        = "auth0-sync-test-sync-postgres"
      service         = "sync-postgres"
      timeout_seconds = 60
    }
    dynamodb = {
      queue           = "auth0-sync-test-dynamodb"
      failed_queue    = "auth0-sync-test-dynamodb-failed"
      function        = "auth0-sync-test-sync-dynamodb"
      service         = "sync-dynamodb"
      timeout_seconds = 60
    }
  }
  log_groups = ["/aws/lambda/auth0-sync-test-sync-postgres", "/aws/lambda/auth0-sync-test-sync-dynamodb"]
  undelivered_queues = {
    postgres = "auth0-sync-test-postgres-undelivered"
    dynamodb = "auth0-sync-test-dynamodb-undelivered"
    archive  = "auth0-sync-test-archive-undelivered"
  }
  rules = {
    archive-log-stream      = { name = "auth0-sync-test-archive-log-stream", event_bus_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", matches_all = true, silence_hours = 6 }
    user-changes-log-stream = { name = "auth0-sync-test-user-changes-log-stream", event_bus_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
    user-signals-log-stream = { name = "auth0-sync-test-user-signals-log-stream", event_bus_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", has_target = false }
    logins-log-stream       = { name = "auth0-sync-test-logins-log-stream", event_bus_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", has_target = false }
  }
  deploy_functions = { migrate = "auth0-sync-test-migrate" }
  archive          = { firehose = "auth0-sync-test-archive", log_group = "/aws/kinesisfirehose/auth0-sync-test-archive" }
  users_table      = "auth0-sync-test-users"
  alarms = {
    enabled             = true
    topic_arn           = null
    emails              = []
    lag_seconds         = 900
    queue_age_seconds   = 900
    archive_age_seconds = 1800
  }
  dashboard = true
}

run "minimal" {
  module {
    source = "./modules/observability"
  }

  assert {
    condition = alltrue([
      for alarm in aws_cloudwatch_metric_alarm.this :
      alarm.alarm_actions == toset([aws_sns_topic.this[0].arn]) && alarm.ok_actions == alarm.alarm_actions && startswith(alarm.alarm_name, "auth0-sync-test-")
    ])
    error_message = "Every alarm must tell when it begins and when it is over, and have a name by which the topic's and the key's policies know it."
  }

  assert {
    condition     = alltrue([for key in ["failed-messages-postgres", "failed-messages-dynamodb", "undelivered-events-postgres", "undelivered-events-dynamodb", "undelivered-events-archive"] : aws_cloudwatch_metric_alarm.this[key].treat_missing_data == "ignore" && aws_cloudwatch_metric_alarm.this[key].threshold == 0])
    error_message = "One message in a dead-letter queue is one too many, and stays so when SQS stops sending the queue's metrics."
  }

  assert {
    condition = (
      [for key, alarm in aws_cloudwatch_metric_alarm.this : key if alarm.treat_missing_data == "missing"] == ["silence-log-stream"] &&
      [for key, alarm in aws_cloudwatch_metric_alarm.this : key if length(alarm.insufficient_data_actions) > 0] == ["silence-log-stream"] &&
      !anytrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.treat_missing_data == "breaching"])
    )
    error_message = "Silence, and only silence, tells of missing data; and no alarm may ring before there were any."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["silence-log-stream"].evaluation_periods * aws_cloudwatch_metric_alarm.this["silence-log-stream"].period == 6 * 3600
    error_message = "Silence is as long as it was asked for."
  }

  assert {
    condition     = !anytrue([for key in keys(aws_cloudwatch_metric_alarm.this) : strcontains(key, "user-signals") || strcontains(key, "logins") || strcontains(key, "refresh") || startswith(key, "database")])
    error_message = "There must be no alarm of what is not there: refresh, Aurora, and rules that only count."
  }

  assert {
    condition = (
      one([for s in jsondecode(aws_sns_topic.this[0].policy).Statement : s.Condition if s.Effect == "Allow"]) == {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:auth0-sync-test-*" }
      } &&
      one([for s in jsondecode(aws_sns_topic.this[0].policy).Statement : s.Condition if s.Effect == "Deny"]) == { Bool = { "aws:SecureTransport" = "false" } } &&
      alltrue([for s in jsondecode(aws_sns_topic.this[0].policy).Statement : s.Resource == "arn:aws:sns:eu-central-1:123456789012:auth0-sync-test-alarms"])
    )
    error_message = "Only this deployment's alarms may publish to the topic, and only by TLS."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 0 && aws_sns_topic.this[0].kms_master_key_id == null
    error_message = "Nobody is subscribed and no key is used unless given."
  }

  assert {
    condition     = output.dashboard_name == "auth0-sync-test" && !strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "AWS/RDS") && !strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "Refreshed")
    error_message = "The dashboard must have no row of what is not there."
  }
}

run "everything" {
  variables {
    consumers = {
      for key, service in { postgres = "sync-postgres", dynamodb = "sync-dynamodb", refresh = "refresh" } : key => {
        queue                        = "auth0-sync-test-${key}"
        failed_queue                 = "auth0-sync-test-${key}-failed"
        function                     = "auth0-sync-test-${service}"
        service                      = service
        timeout_seconds              = 60
      }
    }
    log_groups         = [for service in ["sync-postgres", "sync-dynamodb", "refresh"] : "/aws/lambda/auth0-sync-test-${service}"]
    undelivered_queues = { for key in ["postgres", "dynamodb", "refresh", "archive"] : key => "auth0-sync-test-${key}-undelivered" }
    rules = merge([
      for stream, bus in { log-stream = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs", event-stream = "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events" } : {
        for subject in ["archive", "user-changes", "user-signals"] : "${subject}-${stream}" => {
          name           = "auth0-sync-test-${subject}-${stream}"
          event_bus_name = bus
          matches_all    = subject == "archive"
          silence_hours  = subject == "archive" ? 24 : null
        }
      }
    ]...)
    deploy_functions   = { migrate = "auth0-sync-test-migrate", roles = "auth0-sync-test-roles" }
    watch_function     = "auth0-sync-test-watch"
    manifest_function  = "auth0-sync-test-manifest"
    reconcile_function = "auth0-sync-test-reconcile"
    aurora             = { cluster_identifier = "auth0-sync-test", min_capacity = 0.5, max_capacity = 4 }
    alarms = {
      enabled             = true
      topic_arn           = null
      emails              = ["ops@example.com"]
      lag_seconds         = 900
      queue_age_seconds   = 900
      archive_age_seconds = 1800
    }
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == var.kms_key_arn && aws_sns_topic_subscription.email["ops@example.com"].protocol == "email"
    error_message = "The topic must be encrypted by the deployment's key, and tell whom it was given."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.this["sync-lag-postgres"].extended_statistic == "p50" &&
      aws_cloudwatch_metric_alarm.this["sync-lag-postgres"].threshold == 900000 &&
      aws_cloudwatch_metric_alarm.this["sync-lag-postgres"].datapoints_to_alarm == 3 &&
      aws_cloudwatch_metric_alarm.this["sync-lag-postgres"].treat_missing_data == "notBreaching"
    )
    error_message = "Lag is an alarm when most batches are late for a quarter of an hour: one old event that comes again must wake nobody."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["function-duration-postgres"].threshold == 48000 && !contains(keys(aws_cloudwatch_metric_alarm.this), "function-duration-refresh")
    error_message = "A function near its timeout is an alarm, but not refresh, which uses up its time at Auth0's rate."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-connections"].threshold == 657 && aws_cloudwatch_metric_alarm.this["database-capacity"].threshold == 90
    error_message = "Aurora's limits follow from its capacity."
  }

  assert {
    condition     = alltrue([for key, rule in var.rules : alltrue([for kind in ["failed-invocations", "lost-events"] : aws_cloudwatch_metric_alarm.this["${kind}-${key}"].dimensions == tomap({ EventBusName = rule.event_bus_name, RuleName = rule.name })])])
    error_message = "A rule of a bus of its own is known by both names."
  }

  assert {
    condition = alltrue([
      for key, rule in var.rules : { for query in aws_cloudwatch_metric_alarm.this["oversized-events-${key}"].metric_query : query.id => one(query.metric[*].dimensions) if length(query.metric) > 0 } == {
        for id in ["invocations", "lost"] : id => tomap({ EventBusName = rule.event_bus_name, RuleName = rule.name })
      }
    ])
    error_message = "What is too large is told from what else is lost by the rule's other events."
  }

  assert {
    condition     = aws_cloudwatch_log_metric_filter.archive_errors["archive"].log_group_name == var.archive.log_group && aws_cloudwatch_log_metric_filter.archive_errors["archive"].metric_transformation[0].namespace == aws_cloudwatch_metric_alarm.this["archive-errors"].namespace
    error_message = "The archive's errors must be counted where the alarm looks."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) <= 64
    error_message = "Each alarm costs $0.10 a month, and an alarm widget shows at most 100."
  }
}

run "cluster_of_one_size_and_topic_of_ones_own" {
  variables {
    aurora = { cluster_identifier = "auth0-sync-test", min_capacity = 2, max_capacity = 2 }
    alarms = {
      enabled             = true
      topic_arn           = "arn:aws:sns:eu-central-1:123456789012:ops"
      emails              = []
      lag_seconds         = 900
      queue_age_seconds   = 900
      archive_age_seconds = 1800
    }
  }

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "database-capacity") && contains(keys(aws_cloudwatch_metric_alarm.this), "database-connections")
    error_message = "A cluster of one size is always at its maximum, which is no alarm."
  }

  assert {
    condition     = length(aws_sns_topic.this) == 0 && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:ops"])])
    error_message = "Alarms must go to the topic that was given, and no other be made."
  }
}

run "off" {
  variables {
    alarms = {
      enabled             = false
      topic_arn           = null
      emails              = ["ops@example.com"]
      lag_seconds         = 900
      queue_age_seconds   = 900
      archive_age_seconds = 1800
    }
    dashboard = false
  }

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) + length(aws_sns_topic.this) + length(aws_sns_topic_subscription.email) + length(aws_cloudwatch_log_metric_filter.archive_errors) + length(aws_cloudwatch_dashboard.this) == 0
    error_message = "Off must be off: nothing that costs."
  }

  assert {
    condition     = output.topic_arn == null && output.dashboard_name == null && length(output.alarm_names) == 0
    error_message = "Outputs must name nothing."
  }
}

run "dashboard_without_alarms" {
  variables {
    alarms = {
      enabled             = false
      topic_arn           = null
      emails              = []
      lag_seconds         = 900
      queue_age_seconds   = 900
      archive_age_seconds = 1800
    }
  }

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0 && !contains([for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.type], "alarm")
    error_message = "The dashboard does without alarms."
  }
}

run "one_queue_elsewhere" {
  variables {
    consumers          = {}
    log_groups         = []
    undelivered_queues = { relay = "auth0-sync-test-relay-undelivered" }
    rules              = { relay-log-stream = { name = "auth0-sync-test-relay", event_bus_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" } }
    deploy_functions   = {}
    archive            = null
    users_table        = null
    dashboard          = false
  }

  module {
    source = "./modules/observability"
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["failed-invocations-relay-log-stream", "lost-events-relay-log-stream", "oversized-events-relay-log-stream", "undelivered-events-relay"]
    error_message = "The module must also serve a region that only hands events on."
  }
}

run "wrong_values" {
  command = plan

  variables {
    rules = { archive-log-stream = { name = "x", event_bus_name = "y", silence_hours = 30 } }
    alarms = {
      enabled             = true
      topic_arn           = "arn:aws:sns:eu-central-1:123456789012:ops"
      emails              = ["ops@example.com"]
      lag_seconds         = 900
      queue_age_seconds   = 900
      archive_age_seconds = 1800
    }
  }

  module {
    source = "./modules/observability"
  }

  expect_failures = [var.rules, var.alarms]
}
