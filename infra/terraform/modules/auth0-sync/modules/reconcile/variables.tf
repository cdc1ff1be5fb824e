variable "name" {
  description = "Name of the function, its rule and its security group."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "schedule" {
  description = "When to compare: an EventBridge schedule expression."
  type        = string
}

variable "statements" {
  description = "Rights to read the two stores, as statements of the function module."
  type = list(object({
    actions    = list(string)
    resources  = list(string)
    conditions = optional(map(map(list(string))))
  }))
}

variable "users_table_arn" {
  description = "ARN of the users table, which the endpoint lets the function read."
  type        = string
}

variable "vpc_config" {
  description = "Subnets, and the security groups that reach Postgres; null runs outside any VPC."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
}

variable "aurora_vpc" {
  description = "VPC of the deployment's cluster, and its route tables, which get the endpoint of DynamoDB; none where the VPC is the user's. null: the deployment has no cluster."
  type        = object({ vpc_id = string, route_table_ids = list(string) })
}

variable "function" {
  description = "Package, runtime and memory of the function."
  type = object({
    package            = string
    runtime            = string
    architecture       = string
    memory_mb          = number
    log_retention_days = number
  })
}

variable "function_environment" {
  description = "Environment variables of the function, besides its own."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key for the function's settings and its log; null uses keys of AWS."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}
