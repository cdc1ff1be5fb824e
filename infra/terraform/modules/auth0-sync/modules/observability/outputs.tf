output "alarm_names" {
  description = "Names of the alarms, by kind and resource."
  value       = { for key, alarm in aws_cloudwatch_metric_alarm.this : key => alarm.alarm_name }
}

output "topic_arn" {
  description = "ARN of the SNS topic of the alarms; null without alarms."
  value       = var.alarms.enabled ? local.topic_arn : null
}

output "dashboard_name" {
  description = "Name of the dashboard; null without."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}
