output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.users.name
}

output "table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.users.arn
}

output "reader_policy" {
  description = "IAM policy (JSON) for programs that read users by their id."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Sid = "Read", Effect = "Allow", Action = ["dynamodb:BatchGetItem", "dynamodb:GetItem"], Resource = [aws_dynamodb_table.users.arn] }],
      [for key in var.kms_key_arn[*] : {
        Sid       = "Key"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [key]
        Condition = { StringEquals = local.key_context }
      }],
    )
  })
}

output "compare_statements" {
  description = "Rights that a function needs to read all users of the table, as statements of the function module."
  value = concat(
    [{ actions = ["dynamodb:BatchGetItem", "dynamodb:Scan"], resources = [aws_dynamodb_table.users.arn], conditions = null }],
    local.key_statements,
  )
}

output "write_statements" {
  description = "Rights that a function needs to write users to the table, as statements of the function module."
  value = concat(
    [{ actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [aws_dynamodb_table.users.arn], conditions = null }],
    local.key_statements,
  )
}
