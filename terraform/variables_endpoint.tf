variable "endpoint_image" {
  description = "Image of the endpoints, best by digest. Null, as before the first build, leaves the services out."
  type        = string
  default     = null

  validation {
    condition     = var.endpoint_image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.endpoint_image))
    error_message = "endpoint_image is HOST/PATH, then :TAG, @sha256:DIGEST or both."
  }
}

variable "endpoint" {
  description = <<-EOT
    The Cloud Run services, one a resource:
    - ingress: all, internal, or internal-and-cloud-load-balancing
    - allow_unauthenticated: whether Cloud Run lets callers through without a Google identity; the API key is always asked for
    - custom_audiences: audiences of ID tokens besides the service's own URL; the load balancer's domains are added
    - cpu, memory: of an instance, which runs one process (WORKERS) for each CPU; give each 512Mi at least
    - concurrency: requests at a time in an instance
    - min_instances, max_instances: bounds of scaling; with 0, the first request waits for a start
    - timeout_seconds: of a request, the body's arrival included
    - cpu_always_allocated: pay for the whole life of an instance, and refresh keys between requests
    - startup_probe_path: /readyz gives an instance traffic only once Secret Manager and its topic answer it;
      /livez does not wait for them
    - binary_authorization: whether the project's policy judges the image
    - env: further settings; see functions/settings.py
  EOT
  type = object({
    ingress               = optional(string, "internal-and-cloud-load-balancing")
    allow_unauthenticated = optional(bool, false)
    custom_audiences      = optional(list(string), [])
    cpu                   = optional(string, "1")
    memory                = optional(string, "512Mi")
    concurrency           = optional(number, 64)
    min_instances         = optional(number, 0)
    max_instances         = optional(number, 10)
    timeout_seconds       = optional(number, 60)
    cpu_always_allocated  = optional(bool, false)
    startup_probe_path    = optional(string, "/readyz")
    binary_authorization  = optional(bool, false)
    env                   = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["all", "internal", "internal-and-cloud-load-balancing"], var.endpoint.ingress)
    error_message = "endpoint.ingress is all, internal, or internal-and-cloud-load-balancing."
  }
  validation {
    condition     = contains(["/livez", "/readyz"], var.endpoint.startup_probe_path)
    error_message = "endpoint.startup_probe_path is /livez or /readyz."
  }
  validation {
    condition     = contains(["1", "2", "4", "8"], var.endpoint.cpu) && can(regex("^[0-9]+[MG]i$", var.endpoint.memory))
    error_message = "endpoint.cpu is 1, 2, 4 or 8: less would bar concurrency; endpoint.memory is such as 512Mi or 1Gi."
  }
  validation {
    condition     = var.endpoint.concurrency >= 1 && var.endpoint.concurrency <= 1000
    error_message = "endpoint.concurrency is 1 to 1000."
  }
  validation {
    condition     = var.endpoint.min_instances >= 0 && var.endpoint.max_instances >= 1 && var.endpoint.min_instances <= var.endpoint.max_instances
    error_message = "endpoint.max_instances is at least 1 and at least endpoint.min_instances."
  }
  validation {
    condition     = var.endpoint.timeout_seconds >= 10 && var.endpoint.timeout_seconds <= 3600
    error_message = "endpoint.timeout_seconds is 10 to 3600."
  }
  validation {
    condition     = length(setintersection(keys(var.endpoint.env), ["FUNCTION_TARGET", "GOOGLE_CLOUD_PROJECT", "PORT", "PROJECT_ID"])) == 0
    error_message = "FUNCTION_TARGET, GOOGLE_CLOUD_PROJECT, PORT and PROJECT_ID are set by the module or by Cloud Run."
  }
}

variable "resource_settings" {
  description = "What differs from var.endpoint for a resource, by its name."
  type = map(object({
    cpu                = optional(string)
    memory             = optional(string)
    concurrency        = optional(number)
    min_instances      = optional(number)
    max_instances      = optional(number)
    startup_probe_path = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for settings in values(var.resource_settings) :
      settings.startup_probe_path == null || contains(["/livez", "/readyz"], coalesce(settings.startup_probe_path, "-"))
    ])
    error_message = "startup_probe_path is /livez or /readyz."
  }
  validation {
    condition = alltrue([
      for name in keys(var.resource_settings) : fileexists(
        startswith(var.schemas_path, "/")
        ? "${var.schemas_path}/resources/${name}.schema.json"
        : "${path.module}/${var.schemas_path}/resources/${name}.schema.json"
      )
    ])
    error_message = "resource_settings names a resource that has no contract."
  }
}

variable "status_image" {
  description = "Image of the service that tells producers what became of a record, best by digest. Null, as before the first build, leaves it out."
  type        = string
  default     = null

  validation {
    condition     = var.status_image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$", var.status_image))
    error_message = "status_image is HOST/PATH, then :TAG, @sha256:DIGEST or both."
  }
}

variable "status" {
  description = <<-EOT
    The Cloud Run service that tells producers what became of a record. Who gets in is as endpoint says.
    - cpu, memory: of an instance, which runs one process
    - concurrency: requests at a time in an instance, each with a thread
    - min_instances, max_instances: bounds of scaling; with 0, the first question waits for a start
    - env: further settings; see functions/status_settings.py
  EOT
  type = object({
    cpu           = optional(string, "1")
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 16)
    min_instances = optional(number, 0)
    max_instances = optional(number, 5)
    env           = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["1", "2", "4", "8"], var.status.cpu) && can(regex("^[0-9]+[MG]i$", var.status.memory))
    error_message = "status.cpu is 1, 2, 4 or 8; status.memory is such as 512Mi or 1Gi."
  }
  validation {
    condition     = var.status.concurrency >= 1 && var.status.concurrency <= 100
    error_message = "status.concurrency is 1 to 100."
  }
  validation {
    condition     = var.status.min_instances >= 0 && var.status.max_instances >= 1 && var.status.min_instances <= var.status.max_instances
    error_message = "status.max_instances is at least 1 and at least status.min_instances."
  }
  validation {
    condition = length(setintersection(keys(var.status.env), [
      "DATASET", "FUNCTION_TARGET", "GOOGLE_CLOUD_PROJECT", "OPS_DATASET", "PORT", "PROJECT_ID",
    ])) == 0
    error_message = "DATASET, FUNCTION_TARGET, GOOGLE_CLOUD_PROJECT, OPS_DATASET, PORT and PROJECT_ID are set by the module or by Cloud Run."
  }
}

variable "load_balancer" {
  description = <<-EOT
    An external HTTPS load balancer with Cloud Armor in front of the endpoints; null leaves it out.
    - domains: names for Google's certificate; point their A records at the output load_balancer_ip
    - ssl_certificates: certificates of your own, in place of Google's
    - requests_per_minute: for each API key, and for each address that sends none; the next get 429
    - blocked_ranges: addresses that get 403
    - waf_enforce: block what the OWASP rules match; false only logs it. See cloud_armor.tf before you set it
    - waf_sensitivity: 1 (few false alarms) to 4
    - waf_disabled_rules: signatures to leave out, such as owasp-crs-v030301-id942251-sqli
    - adaptive_protection: learn what traffic is usual and tell of attacks (billed by Cloud Armor's tier)
    - log_sample_rate: share of requests that are logged, 0 to 1
  EOT
  type = object({
    domains             = optional(list(string), [])
    ssl_certificates    = optional(list(string), [])
    requests_per_minute = optional(number, 6000)
    blocked_ranges      = optional(list(string), [])
    waf_enforce         = optional(bool, false)
    waf_sensitivity     = optional(number, 1)
    waf_disabled_rules  = optional(list(string), [])
    adaptive_protection = optional(bool, false)
    log_sample_rate     = optional(number, 1)
  })
  default = null

  validation {
    condition     = var.load_balancer == null || try(length(var.load_balancer.domains) + length(var.load_balancer.ssl_certificates) > 0, false)
    error_message = "A load balancer needs domains or ssl_certificates: keys and health data travel over HTTPS only."
  }
  validation {
    condition = alltrue([
      for domain in try(var.load_balancer.domains, []) : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", domain))
    ])
    error_message = "load_balancer.domains are names such as ingest.example.org; no wildcards."
  }
  validation {
    condition     = alltrue([for range in try(var.load_balancer.blocked_ranges, []) : can(cidrhost(range, 0))])
    error_message = "load_balancer.blocked_ranges are CIDR ranges."
  }
  validation {
    condition     = try(var.load_balancer.requests_per_minute >= 1 && var.load_balancer.requests_per_minute <= 1000000, true)
    error_message = "load_balancer.requests_per_minute is 1 to 1000000."
  }
  validation {
    condition     = try(contains([1, 2, 3, 4], var.load_balancer.waf_sensitivity), true)
    error_message = "load_balancer.waf_sensitivity is 1 to 4."
  }
  validation {
    condition     = try(var.load_balancer.log_sample_rate >= 0 && var.load_balancer.log_sample_rate <= 1, true)
    error_message = "load_balancer.log_sample_rate is 0 to 1."
  }
  validation {
    condition     = var.load_balancer == null || var.endpoint.ingress != "internal"
    error_message = "With endpoint.ingress = \"internal\" the load balancer cannot reach the endpoints."
  }
  validation {
    condition     = var.load_balancer == null || var.endpoint.ingress != "all"
    error_message = "With endpoint.ingress = \"all\" anybody could go around the load balancer and Cloud Armor, and make up the address that guesses of keys are counted by."
  }
}
