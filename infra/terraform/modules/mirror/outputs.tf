output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.users.name
}

output "table_arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.users.arn
}

output "write_statements" {
  description = "What a function needs to be allowed to put users into the table, as the function module takes it."
  value = concat(
    [{ actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [aws_dynamodb_table.users.arn], conditions = null }],
    # DynamoDB decrypts the table's own key in the name of whoever writes; it encrypts by a grant of its own.
    [for key in var.kms_key_arn[*] : {
      actions   = ["kms:Decrypt"]
      resources = [key]
      conditions = {
        StringEquals = {
          "kms:ViaService"                                  = ["dynamodb.${data.aws_region.current.id}.amazonaws.com"]
          "kms:EncryptionContext:aws:dynamodb:subscriberId" = [data.aws_caller_identity.current.account_id]
          "kms:EncryptionContext:aws:dynamodb:tableName"    = [aws_dynamodb_table.users.name]
        }
      }
    }],
  )
}
