# The users table: backups restore what somebody deletes by mistake, and a writer has no other right.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  account                = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name                   = "auth0-sync-test-users"
  point_in_time_recovery = true
  deletion_protection    = true
}

run "keys_of_aws" {
  module {
    source = "./modules/users_table"
  }

  assert {
    condition     = aws_dynamodb_table.users.server_side_encryption[0].enabled && aws_dynamodb_table.users.deletion_protection_enabled && aws_dynamodb_table.users.point_in_time_recovery[0].enabled
    error_message = "The table must be encrypted by a key that CloudTrail shows, and protected as it is told."
  }

  assert {
    condition     = [for s in output.write_statements : s.actions] == [["dynamodb:GetItem", "dynamodb:PutItem"]]
    error_message = "Without a key of the deployment, whoever writes needs none."
  }
}

run "key_of_the_deployment" {
  module {
    source = "./modules/users_table"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition     = aws_dynamodb_table.users.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "The table must use the key."
  }

  assert {
    condition = jsonencode(output.write_statements) == jsonencode([
      { actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [aws_dynamodb_table.users.arn], conditions = null },
      {
        actions   = ["kms:Decrypt"]
        resources = [var.kms_key_arn]
        conditions = { StringEquals = {
          "kms:ViaService"                                  = ["dynamodb.eu-central-1.amazonaws.com"]
          "kms:EncryptionContext:aws:dynamodb:subscriberId" = ["123456789012"]
          "kms:EncryptionContext:aws:dynamodb:tableName"    = ["auth0-sync-test-users"]
        } }
      },
    ])
    error_message = "Whoever writes may put items, and decrypt through DynamoDB, for this table."
  }

  assert {
    condition = jsondecode(output.reader_policy).Statement == [
      { Sid = "Read", Effect = "Allow", Action = ["dynamodb:BatchGetItem", "dynamodb:GetItem"], Resource = [aws_dynamodb_table.users.arn] },
      { Sid = "Key", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.kms_key_arn], Condition = { StringEquals = output.write_statements[1].conditions.StringEquals } },
    ]
    error_message = "Whoever reads may get items, and decrypt through DynamoDB, for this table."
  }
}
