mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id        = "demo-project"
  organization      = "example.org"
  domain            = "ingest.example.org"
  billing_account   = "012345-6789AB-CDEF01"
  endpoint_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
  status_image      = "us-central1-docker.pkg.dev/demo-project/vitalflow/status:1"
  pipeline_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/pipeline:1"
  pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.json"
  resource_settings = { lab_results = { max_instances = 200 } }
}

run "plans" {
  command = plan

  assert {
    condition     = alltrue([for name, url in output.endpoints : url == "https://ingest.example.org/v1/${name}"]) && length(output.endpoints) > 0
    error_message = "Producers reach every resource by the domain."
  }
  assert {
    condition     = output.status_url == "https://ingest.example.org"
    error_message = "Producers ask for a record by the same domain."
  }
}
