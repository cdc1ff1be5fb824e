variable "name" {
  description = "Name of the function and the rule."
  type        = string
}

variable "statements" {
  description = "What the function needs to be allowed, as the function module takes it."
  type = list(object({
    actions    = list(string)
    resources  = list(string)
    conditions = map(map(list(string)))
  }))
}

variable "function" {
  description = "Package and runtime of the function."
  type = object({
    package            = string
    runtime            = string
    architecture       = string
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
  description = "IAM policy that bounds the role of the function; null: none."
  type        = string
  default     = null
}
