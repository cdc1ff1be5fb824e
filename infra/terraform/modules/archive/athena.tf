# The archive as SQL. Columns, formats and the view's query come from the data file that the Python side reads too.

locals {
  location = "s3://${aws_s3_bucket.this.id}/${var.prefix}"

  # A view's columns have Trino types in its definition and Hive types in the catalog.
  hive_types = { varchar = "string", integer = "int", timestamp = "timestamp" }
  view_hive_types = {
    for column in var.table.view_columns :
    column.name => lookup(local.hive_types, regex("^[a-z]+", column.type), column.type)
  }

  # How Athena stores a view: a comment that holds base64-encoded JSON.
  view = base64encode(jsonencode({
    originalSql = join("\n", var.table.view_sql)
    catalog     = "awsdatacatalog"
    schema      = aws_glue_catalog_database.this.name
    columns     = var.table.view_columns
  }))
}

resource "aws_glue_catalog_database" "this" {
  name        = var.database_name
  description = "Auth0's events in S3."
}

resource "aws_glue_catalog_table" "logs" {
  database_name = aws_glue_catalog_database.this.name
  name          = var.table.table
  description   = var.table.description
  table_type    = "EXTERNAL_TABLE"

  # The partitions are computed, not stored: nothing has to add one when an hour begins.
  parameters = merge(var.table.parameters, {
    "projection.dt.range"       = "${var.first_day},NOW"
    "storage.location.template" = "${local.location}dt=$${dt}/hour=$${hour}/"
  })

  dynamic "partition_keys" {
    for_each = var.table.partition_keys

    content {
      name    = partition_keys.value.name
      type    = partition_keys.value.type
      comment = partition_keys.value.comment
    }
  }

  storage_descriptor {
    location      = local.location
    input_format  = var.table.input_format
    output_format = var.table.output_format

    ser_de_info {
      serialization_library = var.table.serde.library
      parameters            = var.table.serde.parameters
    }

    dynamic "columns" {
      for_each = var.table.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}

resource "aws_glue_catalog_table" "view" {
  database_name      = aws_glue_catalog_database.this.name
  name               = var.table.view
  description        = var.table.view_description
  table_type         = "VIRTUAL_VIEW"
  parameters         = { presto_view = "true", comment = "Presto View" }
  view_original_text = "/* Presto View: ${local.view} */"
  view_expanded_text = "/* Presto View */"

  storage_descriptor {
    # Athena refuses a view without SerDe, and ignores what it says.
    ser_de_info {
      name                  = "-"
      serialization_library = "-"
    }

    dynamic "columns" {
      for_each = var.table.view_columns

      content {
        name = columns.value.name
        type = local.view_hive_types[columns.value.name]
      }
    }
  }
}

resource "aws_athena_workgroup" "this" {
  name          = var.athena_workgroup_name
  description   = "Queries on Auth0's events."
  force_destroy = var.force_destroy

  configuration {
    enforce_workgroup_configuration = true
    bytes_scanned_cutoff_per_query  = var.bytes_scanned_cutoff

    result_configuration {
      output_location       = "s3://${aws_s3_bucket.this.id}/${local.results_prefix}"
      expected_bucket_owner = local.account_id

      encryption_configuration {
        encryption_option = var.kms_key_arn == null ? "SSE_S3" : "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}
