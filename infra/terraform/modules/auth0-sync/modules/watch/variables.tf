variable "name" {
  description = "Name of the function, the rule, the table and the topic."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "questions" {
  description = "Parameters, by name of the question."
  type        = map(map(string))
}

variable "schedule" {
  description = "When to ask: an EventBridge schedule expression."
  type        = string
}

variable "window_days" {
  description = "Days of the archive that each question reads, today included."
  type        = number
}

variable "topic" {
  description = "SNS topic of yours, with the key that encrypts it; arn = null creates one, with the addresses in `emails`."
  type = object({
    arn         = string
    kms_key_arn = string
    emails      = list(string)
  })
}

variable "ask_statements" {
  description = "Rights that a function needs to ask the archive questions, as statements of the function module."
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
  description = "Key for the table, the topic that is created, the function's settings and its log; null uses keys of AWS."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}
