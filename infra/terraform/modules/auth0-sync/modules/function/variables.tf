variable "name" {
  description = "Name of the function, its role, its log group and the rule of its schedule."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "description" {
  description = "What the function does."
  type        = string
}

variable "package" {
  description = "Path of the zip."
  type        = string
}

variable "handler" {
  description = "Dotted path of the handler."
  type        = string
}

variable "runtime" {
  description = "Lambda runtime."
  type        = string
}

variable "architecture" {
  description = "arm64 or x86_64: the architecture that the package was built for."
  type        = string
}

variable "memory_mb" {
  description = "Memory in MB; CPU grows with it."
  type        = number
}

variable "timeout_seconds" {
  description = "Longest run of one invocation."
  type        = number
}

variable "reserved_concurrency" {
  description = "Reserved concurrency of the function, which is also its limit; null shares the account's."
  type        = number
  default     = null
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "Rights of the function besides writing its log. `conditions`: values by key, by operator, as in IAM."
  type = list(object({
    actions    = list(string)
    resources  = list(string)
    conditions = optional(map(map(list(string))), {})
  }))
  default = []
}

variable "kms_key_arn" {
  description = "Key for the environment variables and the log; null uses keys of AWS."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days to keep the log."
  type        = number
}

variable "vpc_config" {
  description = "Subnets and security groups to run in; null runs outside any VPC."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}

variable "schedule" {
  description = "EventBridge schedule expression, such as rate(1 hour), and the description of its rule; null: no schedule."
  type        = object({ expression = string, description = string })
  default     = null
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}
