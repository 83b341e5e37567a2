# Each environment's variables plan, with what Cloud Build adds to them:
#   terraform test -test-directory=environments -var-file=environments/dev.tfvars

mock_provider "google" {}
mock_provider "google-beta" {}

run "plans" {
  command = plan
  variables {
    endpoint_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/endpoint:1"
    status_image      = "us-central1-docker.pkg.dev/demo-project/vitalflow/status:1"
    pipeline_image    = "us-central1-docker.pkg.dev/demo-project/vitalflow/pipeline:1"
    pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.json"
  }

  assert {
    condition     = length(google_cloud_run_v2_service.endpoint) == length(local.resources) && length(google_cloud_run_v2_service.status) == 1 && length(google_dataflow_flex_template_job.pipeline) == 1
    error_message = "The environment lacks a service or its job."
  }
  assert {
    condition = alltrue([
      for service in concat(values(google_cloud_run_v2_service.endpoint), google_cloud_run_v2_service.status) :
      !service.invoker_iam_disabled || service.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    ])
    error_message = "An endpoint can be called from anywhere by anybody."
  }
}
