# The environment with patients' data. Images and template come from Cloud Build:
#   -var endpoint_image=… -var status_image=… -var pipeline_image=… -var pipeline_template=…
# examples/production shows the same with keys of one's own.

project_id = "example-vitalflow-prod" # Yours.
region     = "us-central1"
labels     = { env = "prod", data = "phi" }

endpoint = {
  ingress               = "internal-and-cloud-load-balancing"
  allow_unauthenticated = true # Producers have API keys, not Google identities; they come by the load balancer alone.
  memory                = "1Gi"
  min_instances         = 2
  max_instances         = 100
  cpu_always_allocated  = true
}

status = {
  min_instances = 1
}

load_balancer = {
  domains             = ["ingest.example.org"]
  requests_per_minute = 12000
}

pipeline = {
  machine_type = "n2-standard-4"
  min_workers  = 2
  max_workers  = 50
}

archive = {
  retention_days = 365
}

# The heads of the audit log's chains are evidence only while nobody can remove them. There is no way back.
audit_heads = {
  locked = true
}

access = {
  analysts     = ["group:vitalflow-analysts@example.org", "group:vitalflow-phi@example.org"]
  phi_readers  = ["group:vitalflow-phi@example.org"]
  operators    = ["group:vitalflow-operators@example.org", "group:vitalflow-replay@example.org"]
  replayers    = ["group:vitalflow-replay@example.org"]
  key_managers = ["group:vitalflow-keys@example.org"]
}

monitoring = {
  emails = ["vitalflow-oncall@example.org"]
}

audit_logs = {
  "pubsub.googleapis.com"        = ["DATA_READ"]
  "secretmanager.googleapis.com" = ["DATA_READ", "DATA_WRITE"]
  "storage.googleapis.com"       = ["DATA_READ", "DATA_WRITE"]
}
