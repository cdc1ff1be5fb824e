# What somebody needs who asks the archive questions, and no more.

locals {
  glue_arn = "arn:${data.aws_partition.current.partition}:glue:${data.aws_region.current.id}:${local.account_id}"

  analyst_statements = concat(
    [
      {
        Sid    = "Ask"
        Effect = "Allow"
        Action = [
          "athena:BatchGetQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup",
          "athena:ListQueryExecutions", "athena:StartQueryExecution", "athena:StopQueryExecution",
        ]
        Resource = [aws_athena_workgroup.this.arn]
      },
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
    # Reading takes Decrypt, writing results GenerateDataKey, both by way of S3.
    [for key in var.kms_key_arn[*] : {
      Sid       = "Key"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [key]
      Condition = { StringEquals = { "kms:ViaService" = "s3.${data.aws_region.current.id}.amazonaws.com" } }
    }],
  )
}
