mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "demo-project"
}

run "before_the_first_build" {
  command = plan

  assert {
    condition     = length(output.endpoints) == 0 && output.status_url == null && length(output.add_key_commands) == length(fileset("../../../schemas/resources", "*.schema.json"))
    error_message = "The first apply makes a secret for each resource, and no service."
  }
  assert {
    condition     = output.image_repository == "us-central1-docker.pkg.dev/demo-project/vitalflow"
    error_message = "The first apply makes the repository that images are pushed to."
  }
}

run "with_images" {
  command = plan
  variables {
    endpoint_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
    status_image      = "us-central1-docker.pkg.dev/demo-project/vitalflow/status:1"
    pipeline_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/pipeline:1"
    pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.json"
  }

  assert {
    condition     = toset(keys(output.endpoints)) == toset(keys(output.add_key_commands))
    error_message = "Every resource has an endpoint."
  }
}
