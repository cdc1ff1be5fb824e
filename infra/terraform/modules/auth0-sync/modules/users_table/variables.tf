variable "name" {
  description = "Name of the table."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "point_in_time_recovery" {
  description = "Keep continuous backups of the last 35 days."
  type        = bool
}

variable "deletion_protection" {
  description = "Refuse to delete the table."
  type        = bool
}

variable "kms_key_arn" {
  description = "Key for the table; null uses the account's key of AWS for DynamoDB."
  type        = string
  default     = null
}
