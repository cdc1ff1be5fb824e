# The archive as SQL: tables over the same objects, and views. Their columns come from the data file that the Python side
# reads too.

locals {
  location = "s3://${aws_s3_bucket.this.id}/${var.prefix}"

  # A view's columns have Trino types in its definition and Hive types in the catalog.
  hive_types = {
    "array(varchar)" = "array<string>"
    boolean          = "boolean"
    double           = "double"
    integer          = "int"
    "timestamp(3)"   = "timestamp"
    varchar          = "string"
  }

  # How Athena stores a view: a comment that holds base64-encoded JSON.
  views = {
    for name, view in var.catalog.views : name => base64encode(jsonencode({
      originalSql = join("\n", [for line in split("\n", trimspace(view.sql)) : line if !startswith(trimspace(line), "--")])
      catalog     = "awsdatacatalog"
      schema      = aws_glue_catalog_database.this.name
      columns     = [for column in view.columns : { name = column.name, type = column.type }]
    }))
  }
}

resource "aws_glue_catalog_database" "this" {
  name        = var.database_name
  description = "Auth0's events in S3."
}

resource "aws_glue_catalog_table" "this" {
  for_each = var.catalog.tables

  database_name = aws_glue_catalog_database.this.name
  name          = each.key
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  # Athena computes the partitions, so no job has to add one each hour.
  parameters = merge(var.catalog.parameters, {
    "projection.dt.range"       = "${var.first_day},NOW"
    "storage.location.template" = "${local.location}dt=$${dt}/hour=$${hour}/"
  })

  dynamic "partition_keys" {
    for_each = var.catalog.partition_keys

    content {
      name    = partition_keys.value.name
      type    = partition_keys.value.type
      comment = partition_keys.value.comment
    }
  }

  storage_descriptor {
    location      = local.location
    input_format  = var.catalog.input_format
    output_format = var.catalog.output_format

    ser_de_info {
      serialization_library = each.value.serde.library
      parameters            = each.value.serde.parameters
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }
}

resource "aws_glue_catalog_table" "view" {
  for_each = var.catalog.views

  database_name      = aws_glue_catalog_database.this.name
  name               = each.key
  description        = each.value.description
  table_type         = "VIRTUAL_VIEW"
  parameters         = { presto_view = "true", comment = "Presto View" }
  view_original_text = "/* Presto View: ${local.views[each.key]} */"
  view_expanded_text = "/* Presto View */"

  storage_descriptor {
    # Athena refuses a view without a SerDe, but ignores its settings.
    ser_de_info {
      name                  = "-"
      serialization_library = "-"
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = local.hive_types[columns.value.type]
        comment = columns.value.comment
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
      expected_bucket_owner = var.account.id

      encryption_configuration {
        encryption_option = var.kms_key_arn == null ? "SSE_S3" : "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}
