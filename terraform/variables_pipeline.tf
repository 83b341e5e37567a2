variable "pipeline_template" {
  description = "The Flex Template's file, gs://BUCKET/PATH.json. Null, as before the first build, leaves the job out. Give each release its own path: a new path is what updates the job."
  type        = string
  default     = null

  validation {
    condition     = var.pipeline_template == null || can(regex("^gs://[a-z0-9._-]+/.+\\.json$", var.pipeline_template))
    error_message = "pipeline_template is gs://BUCKET/PATH.json."
  }
}

variable "pipeline_image" {
  description = "Image of the job's workers, best by digest. Null takes Beam's own, which lacks the pipeline's packages: give it wherever pipeline_template is given."
  type        = string
  default     = null

  validation {
    condition     = (var.pipeline_image == null) == (var.pipeline_template == null)
    error_message = "pipeline_template and pipeline_image are given together or not at all."
  }
}

variable "pipeline" {
  description = <<-EOT
    The Dataflow job:
    - name: of the job; an update needs the same name
    - machine_type, launcher_machine_type: of workers, and of the machine that starts the job
    - min_workers, max_workers: bounds of autoscaling
    - at_least_once: streaming mode; true costs less and is faster, and repeats within Dataflow reach the tables
      (the views drop them); false also drops what Pub/Sub delivers twice
    - on_delete: drain (finish what was read) or cancel, when the job is destroyed or cannot be updated in place
    - parameters: further parameters of the template
    - experiments: further experiments of Dataflow
  EOT
  type = object({
    name                  = optional(string, "vitalflow")
    machine_type          = optional(string, "n2-standard-2")
    launcher_machine_type = optional(string, "n2-standard-2")
    min_workers           = optional(number, 1)
    max_workers           = optional(number, 10)
    at_least_once         = optional(bool, false)
    on_delete             = optional(string, "drain")
    parameters            = optional(map(string), {})
    experiments           = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.pipeline.name))
    error_message = "pipeline.name is a-z, 0-9 and hyphens, and begins with a letter."
  }
  validation {
    condition     = var.pipeline.min_workers >= 1 && var.pipeline.min_workers <= var.pipeline.max_workers
    error_message = "pipeline.min_workers is 1 to pipeline.max_workers."
  }
  validation {
    condition     = contains(["drain", "cancel"], var.pipeline.on_delete)
    error_message = "pipeline.on_delete is drain or cancel."
  }
}

variable "network" {
  description = <<-EOT
    Where the job's workers run; they have no public address.
    - subnetwork: projects/PROJECT/regions/REGION/subnetworks/NAME with Private Google Access; null creates a network with one
    - cidr: addresses of the one that is created
  EOT
  type = object({
    subnetwork = optional(string)
    cidr       = optional(string, "10.64.0.0/24")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.network.subnetwork == null || can(regex("^projects/[^/]+/regions/[^/]+/subnetworks/[^/]+$", var.network.subnetwork))
    error_message = "network.subnetwork is projects/PROJECT/regions/REGION/subnetworks/NAME."
  }
  validation {
    condition     = can(cidrnetmask(var.network.cidr))
    error_message = "network.cidr is an IPv4 range such as 10.64.0.0/24."
  }
}
