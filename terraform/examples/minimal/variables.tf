variable "project_id" {
  description = "An empty project with billing."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "us-central1"
}

variable "schemas_path" {
  description = "Contracts to deploy, as the module takes them."
  type        = string
  default     = "../schemas"
}

variable "endpoint_image" {
  description = "Image of the endpoints; null before the first build."
  type        = string
  default     = null
}

variable "status_image" {
  description = "Image of the service that tells what became of a record; null before the first build."
  type        = string
  default     = null
}

variable "pipeline_template" {
  description = "File of the Flex Template; null before the first build."
  type        = string
  default     = null
}

variable "pipeline_image" {
  description = "Image of the pipeline; null before the first build."
  type        = string
  default     = null
}
