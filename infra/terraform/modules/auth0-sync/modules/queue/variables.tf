variable "name" {
  description = "Name of the queue, and prefix of its dead-letter queue's."
  type        = string
}

variable "sqs_arn" {
  description = "What the ARN of every queue in the account and region begins with, arn:aws:sqs:REGION:ACCOUNT: policies name a queue before it exists."
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
  description = "Retention in seconds and largest message in bytes: what a queue takes, its dead-letter queue must take too."
  type = object({
    retention_seconds = number
    max_message_bytes = number
  })
}

variable "visibility_timeout_seconds" {
  description = "How long a message that was received is hidden from other receivers; null: SQS's default."
  type        = number
  default     = null
}

variable "max_receive_count" {
  description = "How often a message is received before it moves to the dead-letter queue; null: there is no dead-letter queue."
  type        = number
  default     = null
}

variable "kms_key_arn" {
  description = "Key that encrypts the messages; null uses SQS's own."
  type        = string
  default     = null
}
