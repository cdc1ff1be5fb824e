variable "name" {
  description = "Name of the bus in the data's region, and of the rule and role that forward to it."
  type        = string
}

variable "account" {
  description = "AWS account and partition, and the source's region."
  type        = object({ id = string, partition = string, region = string })
}

variable "source_bus_name" {
  description = "Name of the partner bus in the source's region."
  type        = string
}

variable "queues" {
  description = "Retention in seconds of the dead-letter queue, and the largest event in bytes that it takes."
  type = object({
    retention_seconds = number
    max_message_bytes = number
  })
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}

variable "operator_arns" {
  description = "IAM roles and users that may send to the dead-letter queue."
  type        = list(string)
}
