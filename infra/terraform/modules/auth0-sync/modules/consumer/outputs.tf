output "queue_url" {
  description = "URL of the queue that the function reads."
  value       = module.queue.url
}

output "queue_arn" {
  description = "ARN of the queue, known before the queue exists."
  value       = local.queue_arn
}

output "send_statements" {
  description = "Rights that a function needs to send to the queue, as statements of the function module; known before the queue exists."
  value = concat(
    [{ actions = ["sqs:SendMessage"], resources = [local.queue_arn], conditions = null }],
    [for key in var.kms_key_arn[*] : { actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [key], conditions = local.through_the_queue }],
  )
}

output "failed_queue_url" {
  description = "URL of the dead-letter queue of the messages that the function gave up."
  value       = module.queue.failed_url
}

output "undelivered_queue_url" {
  description = "URL of the dead-letter queue of the events that EventBridge could not deliver to the queue; null without rules."
  value       = one(module.undelivered[*].url)
}

output "function_name" {
  description = "Name of the function."
  value       = module.function.name
}

output "function_arn" {
  description = "ARN of the function."
  value       = module.function.arn
}

output "function_role_id" {
  description = "Unique id of the function's role."
  value       = module.function.role_id
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}

output "event_source_mapping_id" {
  description = "UUID of the mapping that feeds the function; disable it to pause."
  value       = aws_lambda_event_source_mapping.this.uuid
}
