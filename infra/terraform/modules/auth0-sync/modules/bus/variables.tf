variable "source_name" {
  description = "Name of the partner event source, and of its bus: AWS wants them to be the same."
  type        = string
}

variable "create" {
  description = "Create the bus, which accepts the source; false uses the bus of that name that exists already."
  type        = bool
  default     = true
}
