# Saved queries of CloudWatch Logs Insights, in the console under the deployment's name. They cost nothing until they are
# run: $0.005 for each GB of log that they read.

locals {
  queries = {
    why-messages-failed = [
      "fields @timestamp, service, message, reason, detail, user, message_id",
      "| filter level = 'ERROR' or @message like /^\\[ERROR\\]|Task timed out/",
      "| sort @timestamp desc",
      "| limit 100",
    ]
    what-failed-how-often = [
      "filter level = 'ERROR'",
      "| stats count() as times, count_distinct(message_id) as messages, max(@timestamp) as last by service, message, reason",
      "| sort times desc",
    ]
    one-user = [
      "# Put in: auth0-sync pseudonym 'auth0|63d1…'",
      "fields @timestamp, service, message, reason, detail, message_id",
      "| filter user = '0123456789abcdef'",
      "| sort @timestamp desc",
      "| limit 100",
    ]
    slowest-batches = [
      "fields @timestamp, service, milliseconds, received, applied, duplicate, stale, retried, poison, @logStream",
      "| filter message = 'batch' and ispresent(milliseconds)",
      "| sort milliseconds desc",
      "| limit 50",
    ]
    longest-runs = [
      "filter @type = 'REPORT'",
      "| stats count() as runs, avg(@duration) as mean_ms, pct(@duration, 99) as p99_ms, max(@duration) as max_ms,",
      "    max(@maxMemoryUsed / 1000 / 1000) as memory_mb, count(@initDuration) as cold_starts by bin(1h), @log",
      "| sort max_ms desc",
    ]
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = length(var.log_groups) > 0 ? local.queries : {}

  name            = "${var.name}/${each.key}"
  log_group_names = var.log_groups
  query_string    = join("\n", each.value)
}
