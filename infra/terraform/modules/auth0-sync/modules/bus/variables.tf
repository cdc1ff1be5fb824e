variable "source_name" {
  description = "Name of the partner event source, and of its bus: EventBridge requires the same name."
  type        = string
}

variable "create" {
  description = "Create the bus, which accepts the source; false uses an existing bus of that name."
  type        = bool
  default     = true
}
