# The least rights for asking the archive questions.

locals {
  glue_arn = "arn:${var.account.partition}:glue:${var.account.region}:${var.account.id}"

  ask_actions = [
    "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StartQueryExecution", "athena:StopQueryExecution",
  ]
  browse_actions = ["athena:BatchGetQueryExecution", "athena:GetWorkGroup", "athena:ListQueryExecutions"]

  analyst_statements = concat(
    [{
      Sid      = "Ask"
      Effect   = "Allow"
      Action   = sort(concat(local.ask_actions, local.browse_actions))
      Resource = [aws_athena_workgroup.this.arn]
    }],
    local.data_statements,
  )

  # The same for a function, which reads no history and no settings, in the function module's form.
  ask_statements = [
    for statement in concat([{ Action = local.ask_actions, Resource = [aws_athena_workgroup.this.arn] }], local.data_statements) : {
      actions   = statement.Action
      resources = statement.Resource
      conditions = {
        for operator, keys in try(statement.Condition, {}) : operator => { for key, value in keys : key => [value] }
      }
    }
  ]

  # Actions that Athena takes in the caller's name.
  data_statements = concat(
    [
      {
        Sid    = "Catalog"
        Effect = "Allow"
        Action = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartition", "glue:GetPartitions"]
        Resource = [
          "${local.glue_arn}:catalog",
          "${local.glue_arn}:database/${aws_glue_catalog_database.this.name}",
          "${local.glue_arn}:table/${aws_glue_catalog_database.this.name}/*",
        ]
      },
      {
        Sid      = "Bucket"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
        Resource = [aws_s3_bucket.this.arn]
      },
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.this.arn}/${var.prefix}*", "${aws_s3_bucket.this.arn}/${local.results_prefix}*"]
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]
        Resource = ["${aws_s3_bucket.this.arn}/${local.results_prefix}*"]
      },
    ],
    # Reading needs Decrypt, writing results GenerateDataKey, both through S3.
    [for key in var.kms_key_arn[*] : {
      Sid       = "Key"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [key]
      Condition = { StringEquals = { "kms:ViaService" = "s3.${var.account.region}.amazonaws.com" } }
    }],
  )
}
