output "bus_name" {
  description = "Name of the bus in the data's region."
  value       = aws_cloudwatch_event_bus.this.name
}

output "undelivered_queue_name" {
  description = "Name of the dead-letter queue, in the source's region, of the events that EventBridge could not forward."
  value       = module.undelivered.name
}

output "undelivered_queue_url" {
  description = "URL of the dead-letter queue, in the source's region, of the events that EventBridge could not forward."
  value       = module.undelivered.url
}

output "rule_name" {
  description = "Name of the rule, in the source's region, that forwards."
  value       = aws_cloudwatch_event_rule.this.name
}
