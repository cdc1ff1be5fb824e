output "queue_url" {
  description = "URL of the queue that the function reads."
  value       = aws_sqs_queue.this.id
}

output "queue_arn" {
  description = "ARN of the queue, known before the queue is there."
  value       = "${local.sqs_arn}:${local.queue}"
}

output "failed_queue_url" {
  description = "URL of the dead-letter queue of what the function could not do."
  value       = aws_sqs_queue.failed.id
}

output "undelivered_queue_url" {
  description = "URL of the dead-letter queue of what EventBridge could not put into the queue."
  value       = aws_sqs_queue.undelivered.id
}

output "function_name" {
  description = "Name of the function."
  value       = module.function.name
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}

output "event_source_mapping_id" {
  description = "UUID of the mapping that feeds the function; disable it to pause."
  value       = aws_lambda_event_source_mapping.this.uuid
}
