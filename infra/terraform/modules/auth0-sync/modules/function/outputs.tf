output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "role_id" {
  description = "Unique id of the role (AROA…). SQS reports it, with the session's name, as the sender of the function's messages."
  value       = aws_iam_role.this.unique_id

  # A function that accepts its messages is created after the right to send them.
  depends_on = [aws_iam_role_policy.this]
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.this.name
}
