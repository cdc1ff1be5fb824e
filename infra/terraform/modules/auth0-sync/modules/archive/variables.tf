variable "name" {
  description = "Name of the delivery stream, and prefix of the names around it."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "bucket_name" {
  description = "Name of the bucket; unique in all of AWS."
  type        = string
}

variable "force_destroy" {
  description = "Let destroy delete the bucket with its objects, and the workgroup with its history."
  type        = bool
}

variable "bus_names" {
  description = "Buses whose events are archived, by stream."
  type        = map(string)
}

variable "event_sources" {
  description = "Event source of each bus, by stream. The archive takes events of no other source."
  type        = map(string)
}

variable "event_pattern" {
  description = "EventBridge pattern (JSON) of the events to archive, without their source."
  type        = string
}

variable "queues" {
  description = "Retention in seconds of the dead-letter queue, and the largest event in bytes that it takes."
  type = object({
    retention_seconds = number
    max_message_bytes = number
  })
}

variable "prefix" {
  description = "Prefix of the archive's objects; ends in a slash."
  type        = string
}

variable "error_prefix" {
  description = "Prefix of the events that Firehose could not write to the archive; ends in a slash."
  type        = string
}

variable "buffering_size_mb" {
  description = "Size, before compression, at which a buffer becomes an object."
  type        = number
}

variable "buffering_seconds" {
  description = "Age at which a buffer becomes an object."
  type        = number
}

variable "glacier_ir_after_days" {
  description = "Days after which objects of 128 KB and more move to Glacier Instant Retrieval; null keeps them in Standard."
  type        = number
}

variable "expire_after_days" {
  description = "Days after which objects are deleted; null keeps them."
  type        = number
}

variable "log_retention_days" {
  description = "Days to keep the delivery stream's error log."
  type        = number
}

variable "database_name" {
  description = "Name of the Glue database."
  type        = string
}

variable "catalog" {
  description = "The tables, and the views over them, as pipeline/archive/catalog.json describes them, each view with its SQL."
  type = object({
    input_format   = string
    output_format  = string
    partition_keys = list(object({ name = string, type = string, comment = string }))
    parameters     = map(string)
    tables = map(object({
      description = string
      serde       = object({ library = string, parameters = map(string) })
      columns     = list(object({ name = string, type = string, comment = string }))
    }))
    views = map(object({
      description = string
      columns     = list(object({ name = string, type = string, comment = string }))
      sql         = string
    }))
  })
}

variable "first_day" {
  description = "First day (YYYY-MM-DD) that Athena looks for."
  type        = string
}

variable "athena_workgroup_name" {
  description = "Name of the Athena workgroup."
  type        = string
}

variable "results_expire_days" {
  description = "Days to keep the results of Athena queries."
  type        = number
}

variable "bytes_scanned_cutoff" {
  description = "Bytes that one query may scan before Athena stops it."
  type        = number
}

variable "manifest_role_arn" {
  description = "ARN of the manifest function's role, which alone may sign and write manifests; null: there is none."
  type        = string
}

variable "object_lock" {
  description = "Enable Object Lock. S3 cannot disable it again."
  type        = bool
}

variable "kms_key_arn" {
  description = "Key for the bucket, the buffered events, query results, the dead-letter queue and the log; null uses keys of AWS."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}

variable "operator_arns" {
  description = "IAM roles and users that may send to the dead-letter queue, and delete from the bucket the errors that they have sent again."
  type        = list(string)
}

variable "eraser_arns" {
  description = "IAM roles and users that may delete and overwrite archived objects. If there are any, only they and the operators can change the bucket's settings."
  type        = list(string)
}
