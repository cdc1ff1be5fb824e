variable "name" {
  description = "Name of the deployment: identifier of the cluster, and prefix of the names around it."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in at least two availability zones."
  type        = list(string)
}

variable "aurora" {
  description = "Versions, sizes and backups, as the deployment's variable `aurora` describes them."
  type = object({
    engine_version           = string
    database_name            = string
    min_capacity             = number
    max_capacity             = number
    seconds_until_auto_pause = number
    readers                  = number
    backup_retention_days    = number
    performance_insights     = bool
  })
}

variable "client_security_groups" {
  description = "Security groups that may reach the database beside that of the functions, by names of the user's choice."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "KMS key of storage, backups, the master user's secret, Database Insights and logs; null for those of AWS."
  type        = string
  default     = null
}

variable "protect_data" {
  description = "Refuse to delete the cluster; once it may be deleted, leave a final snapshot and the automated backups."
  type        = bool
}

variable "log_retention_days" {
  description = "Days to keep the cluster's logs."
  type        = number
}
