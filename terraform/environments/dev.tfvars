# The environment in which changes are tried. Images and template come from Cloud Build:
#   -var endpoint_image=… -var status_image=… -var pipeline_image=… -var pipeline_template=…

project_id          = "example-vitalflow-dev" # Yours.
region              = "us-central1"
labels              = { env = "dev" }
deletion_protection = false

pipeline = {
  max_workers   = 2
  at_least_once = true
}

archive = {
  retention_days    = 1
  delete_after_days = 120
}

audit_heads = {
  retention_days = 30
}

monitoring = {
  emails = ["vitalflow-dev@example.org"]
}
