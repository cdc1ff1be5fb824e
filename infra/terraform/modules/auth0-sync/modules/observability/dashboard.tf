# One dashboard: first the health of the whole flow, then its parts in the order of the flow.
#
# A row is a list of widgets from left to right on CloudWatch's 24 columns, and as high as its first; positions follow
# from that. $3 a month (the first three of an account are free).

locals {
  heartbeats = { for key, rule in var.rules : trimprefix(key, "archive-") => key if rule.matches_all }
  refresh_on = length(local.refresh) > 0
  silences   = [for key, alarm in local.alarms : key if alarm.kind == "silence"]
  only_count = { for key, rule in var.rules : key => rule if !rule.has_target }

  # Widgets that several rows share.
  graph  = { region = var.account.region, view = "timeSeries", stacked = false, period = 300 }
  number = { region = var.account.region, view = "singleValue", sparkline = true, period = 300 }
  zero   = { left = { min = 0 } }

  # Metrics in the form that dashboards want: namespace, name, dimension, value, …, {options}.
  own_metrics = {
    for key, dimensions in local.own_dimensions :
    key => flatten([for name in sort(keys(dimensions)) : [name, dimensions[name]]])
  }
  rule_metrics = {
    for key, dimensions in local.rule_dimensions :
    key => flatten([for name in sort(keys(dimensions)) : [name, dimensions[name]]])
  }
  lag_metrics = [
    for number, key in keys(local.sinks) :
    concat([local.own_namespace, "SyncLag"], local.own_metrics[key], [{ id = "ms${number}", visible = false }])
  ]
  failed_queues = concat(
    [for key, consumer in var.consumers : { key = "failed: ${key}", name = consumer.failed_queue }],
    [for key, queue in var.undelivered_queues : { key = "undelivered: ${key}", name = queue }],
  )

  # Outcomes of messages, from the bottom of the stack to its top, with colours from good to bad.
  fates = [
    ["Applied", "#2ca02c"],
    ["Duplicate", "#98df8a"],
    ["Stale", "#c5b0d5"],
    ["Ignored", "#c7c7c7"],
    ["Signals", "#1f77b4"],
    ["Retried", "#ff7f0e"],
    ["Poison", "#d62728"],
  ]
  # Events that need attention.
  odd = ["Masked", "UnknownPaths", "UnnamedDeletions", "OddFields", "WrongClocks"]

  refresh_fates = [
    ["Refreshed", "#2ca02c"],
    ["Gone", "#c5b0d5"],
    ["Doubted", "#9467bd"],
    ["Coalesced", "#98df8a"],
    ["Ignored", "#c7c7c7"],
    ["Deferred", "#ff7f0e"],
    ["Oversized", "#8c564b"],
    ["Failed", "#d62728"],
  ]

  overview = [
    [{
      type = "text", width = 24, height = 2
      properties = {
        markdown = join("\n", [
          "# ${var.name} (ENV=${var.env})",
          "All is well when nothing is in alarm, events come in, both stores are seconds behind, and the dead-letter queues hold 0. What to do otherwise: ${startswith(var.runbook_url, "https://") ? "[runbook](${var.runbook_url})" : var.runbook_url}",
        ])
      }
    }],
    concat(
      [for alarms in [aws_cloudwatch_metric_alarm.this] : {
        type = "alarm", width = length(local.silences) > 0 ? 18 : 24, height = 3
        properties = {
          title  = "In alarm now (empty: nothing)"
          alarms = [for alarm in alarms : alarm.arn]
          states = ["ALARM"]
          sortBy = "stateUpdatedTimestamp"
        }
      } if length(local.alarms) > 0],
      [for keys in [local.silences] : {
        type = "alarm", width = 6, height = 3
        properties = {
          title  = "Auth0 silent (empty: it is not)"
          alarms = [for key in keys : aws_cloudwatch_metric_alarm.this[key].arn]
          states = ["ALARM", "INSUFFICIENT_DATA"]
          sortBy = "stateUpdatedTimestamp"
        }
      } if length(keys) > 0],
    ),
    concat(
      [
        {
          type = "metric", width = 5, height = 4
          properties = merge(local.number, {
            title = "Events from Auth0, last hour", stat = "Sum", period = 3600
            metrics = [
              for stream, key in local.heartbeats :
              concat(["AWS/Events", "MatchedEvents"], local.rule_metrics[key], [{ label = stream }])
            ]
          })
        },
        {
          type = "metric", width = 5, height = 4
          properties = merge(local.number, {
            title = "Seconds behind Auth0", stat = "p50"
            metrics = concat(
              [for number, key in keys(local.sinks) : [{ expression = "ms${number}/1000", label = key, id = "s${number}" }]],
              local.lag_metrics,
            )
          })
        },
        {
          type = "metric", width = 5, height = 4
          properties = merge(local.number, {
            title = "Waiting in the queues", stat = "Maximum", period = 60
            metrics = [
              for key, consumer in var.consumers :
              ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", consumer.queue, { label = key }]
            ]
          })
        },
        {
          type = "metric", width = 5, height = 4
          properties = merge(local.number, {
            title = "In the dead-letter queues", stat = "Maximum"
            metrics = concat(
              [[{ expression = "SUM(METRICS(\"m\"))", label = "messages", id = "all" }]],
              [
                for number, queue in local.failed_queues :
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name, { id = "m${number}", visible = false }]
              ],
            )
          })
        },
      ],
      [for archive in var.archive[*] : {
        type = "metric", width = 4, height = 4
        properties = merge(local.number, {
          title   = "Archive, seconds behind", stat = "Maximum"
          metrics = [["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", archive.firehose, { label = "archive" }]]
        })
      }],
    ),
  ]

  stage_events = [
    [{ type = "text", width = 24, height = 1, properties = { markdown = "## 1 Auth0 → EventBridge" } }],
    concat(
      [{
        type = "metric", width = length(local.only_count) > 0 ? 8 : 16, height = 6
        properties = merge(local.graph, {
          title = "Events, by rule that hands them on", stat = "Sum", yAxis = local.zero
          metrics = [
            for key, rule in local.targeted_rules :
            concat(["AWS/Events", "MatchedEvents"], local.rule_metrics[key], [{ label = key }])
          ]
        })
      }],
      [for rules in [local.only_count] : {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Counted only: what the stores miss", stat = "Sum", yAxis = local.zero
          metrics = [
            for key, rule in rules :
            concat(["AWS/Events", "MatchedEvents"], local.rule_metrics[key], [{ label = key }])
          ]
        })
      } if length(rules) > 0],
      [{
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Given up", stat = "Sum", yAxis = local.zero
          metrics = concat(
            [
              [{ expression = "SUM(METRICS(\"dead\"))", label = "to dead-letter queues", id = "kept", color = "#ff7f0e" }],
              [{ expression = "SUM(METRICS(\"gone\"))", label = "lost", id = "lost", color = "#d62728" }],
            ],
            [
              for number, key in keys(local.targeted_rules) :
              concat(["AWS/Events", "InvocationsSentToDlq"], local.rule_metrics[key], [{ id = "dead${number}", visible = false }])
            ],
            [
              for number, key in keys(local.targeted_rules) :
              concat(["AWS/Events", "InvocationsFailedToBeSentToDlq"], local.rule_metrics[key], [{ id = "gone${number}", visible = false }])
            ],
          )
        })
      }],
    ),
  ]

  stage_queues = [
    [{ type = "text", width = 24, height = 1, properties = { markdown = "## 2 Queues" } }],
    [
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Messages waiting", stat = "Maximum", period = 60, yAxis = local.zero
          metrics = [
            for key, consumer in var.consumers :
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", consumer.queue, { label = key }]
          ]
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Age of the oldest message, seconds", stat = "Maximum", period = 60, yAxis = local.zero
          metrics = [
            for key, consumer in var.consumers :
            ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", consumer.queue, { label = key }]
          ]
          annotations = { horizontal = [{ label = "alarm", value = var.alarms.queue_age_seconds, color = "#d62728" }] }
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Messages in dead-letter queues", stat = "Maximum", yAxis = local.zero
          metrics = [
            for queue in local.failed_queues :
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name, { label = queue.key }]
          ]
        })
      },
    ],
  ]

  stage_functions = [
    [{ type = "text", width = 24, height = 1, properties = { markdown = "## 3 Functions" } }],
    concat(
      [for key, consumer in local.sinks : {
        type = "metric", width = local.refresh_on ? 8 : 12, height = 6
        properties = merge(local.graph, {
          title = "What became of messages: ${key}", stat = "Sum", stacked = true, yAxis = local.zero
          metrics = [
            for fate in local.fates :
            concat([local.own_namespace, fate[0]], local.own_metrics[key], [{ label = lower(fate[0]), color = fate[1] }])
          ]
        })
      }],
      [for key, consumer in local.refresh : {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "What became of users to fetch", stat = "Sum", stacked = true, yAxis = local.zero
          metrics = [
            for fate in local.refresh_fates :
            concat([local.own_namespace, fate[0]], local.own_metrics[key], [{ label = lower(fate[0]), color = fate[1] }])
          ]
        })
      }],
    ),
    [for key, consumer in local.sinks : {
      type = "metric", width = 12, height = 4
      properties = merge(local.graph, {
        title   = "Events to look at: ${key}", stat = "Sum", stacked = false, yAxis = local.zero
        metrics = [for name in local.odd : concat([local.own_namespace, name], local.own_metrics[key], [{ label = name }])]
      })
    }],
    [
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Seconds behind Auth0: median, p99", yAxis = local.zero
          metrics = concat(
            flatten([
              for number, key in keys(local.sinks) : [
                { list = [{ expression = "ms${number}/1000", label = key, id = "s${number}" }] },
                { list = [{ expression = "late${number}/1000", label = "${key}, p99", id = "l${number}" }] },
                { list = concat([local.own_namespace, "SyncLag"], local.own_metrics[key], [{ id = "ms${number}", stat = "p50", visible = false }]) },
                { list = concat([local.own_namespace, "SyncLag"], local.own_metrics[key], [{ id = "late${number}", stat = "p99", visible = false }]) },
              ]
            ])[*].list,
          )
          annotations = { horizontal = [{ label = "alarm", value = var.alarms.lag_seconds, color = "#d62728" }] }
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Failed and refused runs", stat = "Sum", yAxis = local.zero
          metrics = concat(
            [
              for key, name in merge({ for key, consumer in var.consumers : key => consumer.function }, var.deploy_functions) :
              ["AWS/Lambda", "Errors", "FunctionName", name, { label = "failed: ${key}" }]
            ],
            [
              for key, consumer in var.consumers :
              ["AWS/Lambda", "Throttles", "FunctionName", consumer.function, { label = "refused: ${key}" }]
            ],
          )
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Longest run, milliseconds", stat = "Maximum", yAxis = local.zero
          metrics = [
            for key, consumer in var.consumers :
            ["AWS/Lambda", "Duration", "FunctionName", consumer.function, { label = key }]
          ]
        })
      },
    ],
  ]

  stage_stores = concat(
    [[{ type = "text", width = 24, height = 1, properties = { markdown = "## 4 Stores" } }]],
    [for table in var.users_table[*] : [
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "DynamoDB: write units", stat = "Sum", yAxis = local.zero
          metrics = [
            ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", table, { label = "used" }],
          ]
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "DynamoDB: writes that were not made", stat = "Sum", yAxis = local.zero
          metrics = [
            ["AWS/DynamoDB", "ConditionalCheckFailedRequests", "TableName", table, { label = "stale or duplicate", color = "#c7c7c7" }],
            ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", table, { label = "throttled", color = "#ff7f0e" }],
            ["AWS/DynamoDB", "SystemErrors", "TableName", table, "Operation", "PutItem", { label = "failed", color = "#d62728" }],
          ]
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "DynamoDB: milliseconds of a write", yAxis = local.zero
          metrics = [
            ["AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", table, "Operation", "PutItem", { label = "average", stat = "Average" }],
            ["AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", table, "Operation", "PutItem", { label = "p99", stat = "p99" }],
          ]
        })
      },
    ]],
    [for number, aurora in var.aurora[*] : [
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Aurora: capacity, ACUs", stat = "Maximum", yAxis = local.zero
          metrics = [
            ["AWS/RDS", "ServerlessDatabaseCapacity", "DBClusterIdentifier", aurora.cluster_identifier, { label = "in use" }],
          ]
          annotations = { horizontal = [{ label = "maximum", value = aurora.max_capacity, color = "#d62728" }] }
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Aurora: connections", stat = "Maximum", yAxis = local.zero
          metrics = [
            ["AWS/RDS", "DatabaseConnections", "DBClusterIdentifier", aurora.cluster_identifier, { label = "open" }],
          ]
          annotations = {
            horizontal = [{ label = "alarm", value = floor(0.8 * local.max_connections[number]), color = "#d62728" }]
          }
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Aurora: milliseconds of a commit", yAxis = local.zero
          metrics = [
            ["AWS/RDS", "CommitLatency", "DBClusterIdentifier", aurora.cluster_identifier, { label = "average", stat = "Average" }],
            ["AWS/RDS", "CommitLatency", "DBClusterIdentifier", aurora.cluster_identifier, { label = "longest", stat = "Maximum" }],
          ]
        })
      },
    ]],
  )

  comparison = merge(local.graph, { period = 3600, stat = "Maximum", yAxis = local.zero })

  stage_comparison = [for _ in var.reconcile_function[*] : [
    {
      type = "metric", width = 8, height = 6
      properties = merge(local.comparison, {
        title = "Users who differ between the stores"
        metrics = [
          for kind in ["missing", "stale", "ghost", "different"] :
          [local.own_namespace, "Drift", "deployment", var.name, "kind", kind, "service", "reconcile", { label = kind }]
        ]
      })
    },
    {
      type = "metric", width = 8, height = 6
      properties = merge(local.comparison, {
        title = "Users compared, and in flight"
        metrics = [
          concat([local.own_namespace, "UsersCompared"], local.own_metrics["reconcile"], [{ label = "compared" }]),
          concat([local.own_namespace, "InFlight"], local.own_metrics["reconcile"], [{ label = "in flight" }]),
        ]
      })
    },
    {
      type = "metric", width = 8, height = 6
      properties = merge(local.comparison, {
        title = "Comparison: seconds, of 900"
        metrics = [
          [{ expression = "ms/1000", label = "seconds", id = "seconds" }],
          concat([local.own_namespace, "CompareTime"], local.own_metrics["reconcile"], [{ id = "ms", visible = false }]),
          concat([local.own_namespace, "Unfinished"], local.own_metrics["reconcile"], [{ label = "not finished", color = "#d62728" }]),
        ]
      })
    },
  ]]

  stage_archive = flatten([for archive in var.archive[*] : [
    { row = [{ type = "text", width = 24, height = 1, properties = { markdown = "## 5 Archive" } }] },
    { row = [
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Events in, and written to S3", stat = "Sum", yAxis = local.zero
          metrics = [
            ["AWS/Firehose", "IncomingRecords", "DeliveryStreamName", archive.firehose, { label = "in" }],
            ["AWS/Firehose", "DeliveryToS3.Records", "DeliveryStreamName", archive.firehose, { label = "written" }],
          ]
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Age of the oldest event not yet written, seconds", stat = "Maximum", yAxis = local.zero
          metrics = [
            ["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", archive.firehose, { label = "age" }],
          ]
          annotations = { horizontal = [{ label = "alarm", value = var.alarms.archive_age_seconds, color = "#d62728" }] }
        })
      },
      {
        type = "metric", width = 8, height = 6
        properties = merge(local.graph, {
          title = "Trouble", stat = "Sum", yAxis = local.zero
          metrics = [
            ["AWS/Firehose", "ThrottledRecords", "DeliveryStreamName", archive.firehose, { label = "throttled", color = "#ff7f0e" }],
            [local.log_namespace, "ArchiveErrors", { label = "errors in the log", color = "#d62728" }],
          ]
        })
      },
    ] },
  ]])[*].row

  last_failures = [
    [for groups in [var.log_groups] : {
      type = "log", width = 24, height = 6
      properties = {
        region = var.account.region
        title  = "The last failures, and why"
        view   = "table"
        query = join("\n", concat(
          [join(" | ", [for group in groups : "SOURCE '${group}'"])],
          [for number, line in local.queries.why-messages-failed : number == 0 ? "| ${line}" : line],
        ))
      }
    } if length(groups) > 0],
  ]

  rows = [
    for row in concat(
      local.overview, local.stage_events, local.stage_queues, local.stage_functions, local.stage_stores,
      local.stage_comparison, local.stage_archive, local.last_failures,
    ) : row if length(row) > 0
  ]

  widgets = flatten([
    for y, row in local.rows : [
      for x, widget in row : merge(widget, {
        x = sum(concat([0], [for before in slice(row, 0, x) : before.width]))
        y = sum(concat([0], [for before in slice(local.rows, 0, y) : before[0].height]))
      })
    ]
  ])
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({ start = "-PT6H", periodOverride = "inherit", widgets = local.widgets })
}
