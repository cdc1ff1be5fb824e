output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "role_id" {
  description = "Unique id of the role, AROA…: what SQS calls the sender of the function's messages, with the session's name."
  value       = aws_iam_role.this.unique_id

  # Who expects its messages starts after it may send them.
  depends_on = [aws_iam_role_policy.this]
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.this.name
}
