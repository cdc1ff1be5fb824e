# The users, one item each, whole. Deleted users stay as tombstones until `expires_at`, so that a late, older event
# cannot bring them back.

locals {
  # The key may be used only through DynamoDB, for this table.
  key_context = {
    "kms:ViaService"                                  = ["dynamodb.${var.account.region}.amazonaws.com"]
    "kms:EncryptionContext:aws:dynamodb:subscriberId" = [var.account.id]
    "kms:EncryptionContext:aws:dynamodb:tableName"    = [aws_dynamodb_table.users.name]
  }

  # DynamoDB decrypts the table's own key in the caller's name; it encrypts by a grant of its own.
  key_statements = [for key in var.kms_key_arn[*] : {
    actions    = ["kms:Decrypt"]
    resources  = [key]
    conditions = { StringEquals = local.key_context }
  }]
}

resource "aws_dynamodb_table" "users" {
  name                        = var.name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "user_id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "user_id"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
}
