variable "name" {
  description = "Name of the queue, and prefix of its dead-letter queue's."
  type        = string
}

variable "sqs_arn" {
  description = "Beginning of every queue's ARN, arn:aws:sqs:REGION:ACCOUNT, from which policies name a queue before it exists."
  type        = string
}

variable "rule_arns" {
  description = "EventBridge rules that may send to the queue."
  type        = list(string)
}

variable "operator_arns" {
  description = "IAM roles and users that may send to the queue and its dead-letter queue."
  type        = list(string)
}

variable "sender_arns" {
  description = "Roles of functions that may send to the queue."
  type        = list(string)
  default     = []
}

variable "queues" {
  description = "Retention in seconds and largest message in bytes, also of the dead-letter queue, which must take every message of the queue."
  type = object({
    retention_seconds = number
    max_message_bytes = number
  })
}

variable "visibility_timeout_seconds" {
  description = "Visibility timeout in seconds; null: SQS's default."
  type        = number
  default     = null
}

variable "max_receive_count" {
  description = "Receives before a message moves to the dead-letter queue; null: there is no dead-letter queue."
  type        = number
  default     = null
}

variable "kms_key_arn" {
  description = "Key that encrypts the messages; null uses SQS's own."
  type        = string
  default     = null
}
