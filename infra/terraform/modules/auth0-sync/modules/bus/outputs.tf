output "name" {
  description = "Name of the bus."
  value       = one(concat(aws_cloudwatch_event_bus.this[*].name, data.aws_cloudwatch_event_bus.this[*].name))
}
