variable "name" {
  description = "Name of the queue, and prefix of the names of its dead-letter queues."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "rules" {
  description = "Rules whose events go to the queue, by any name; none if only people and functions send to it."
  type = map(object({
    name           = string
    arn            = string
    event_bus_name = string
  }))
}

variable "queues" {
  description = "Retention of the queue and its dead-letter queues, receives before a message moves to a dead-letter queue, the wait before each but the first (null: six times the function's timeout and the batch window), and the largest message, in bytes, of all three: a dead-letter queue must take every message of its queue."
  type = object({
    retention_seconds          = number
    max_receive_count          = number
    visibility_timeout_seconds = number
    max_message_bytes          = number
  })
}

variable "event_source_mapping" {
  description = "How the function reads the queue; timeout_seconds is the longest run of one batch. Apart from `function`, so that the queue exists, and holds events, before the function's dependencies do, such as a database."
  type = object({
    enabled              = bool
    timeout_seconds      = number
    batch_size           = number
    batch_window_seconds = number
    maximum_concurrency  = number
  })
}

variable "function" {
  description = "The function that reads the queue; see the function module. `statements` are its rights besides reading the queue."
  type = object({
    name                 = string
    description          = string
    package              = string
    handler              = string
    runtime              = string
    architecture         = string
    memory_mb            = number
    reserved_concurrency = number
    log_retention_days   = number
    statements = list(object({
      actions    = list(string)
      resources  = list(string)
      conditions = optional(map(map(list(string))), {})
    }))
    vpc_config = object({
      subnet_ids         = list(string)
      security_group_ids = list(string)
    })
  })
}

variable "function_environment" {
  description = "Environment variables of the function. Apart from `function`, because they may hold a secret."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key for the queues, and the function's environment variables and log; null uses keys of AWS."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}

variable "operator_arns" {
  description = "IAM roles and users that may send to the queues."
  type        = list(string)
}

variable "sender_arns" {
  description = "Roles of other functions that may send to the queue."
  type        = list(string)
  default     = []
}
