variable "name" {
  description = "Name of the bus in the data's region, and of what forwards to it."
  type        = string
}

variable "source_bus_name" {
  description = "Name of the partner bus in the source's region."
  type        = string
}

variable "target_retry" {
  description = "How long and how often EventBridge tries to forward an event."
  type = object({
    maximum_event_age_seconds = number
    maximum_retry_attempts    = number
  })
}

variable "dlq_max_message_bytes" {
  description = "Largest event, in bytes, that the dead-letter queue takes."
  type        = number
}

variable "dlq_retention_seconds" {
  description = "How long to keep an event that could not be forwarded."
  type        = number
}
