output "endpoints" {
  description = "Where producers send each resource."
  value       = module.vitalflow.endpoints
}

output "load_balancer_ip" {
  description = "Address for the domain's A record."
  value       = module.vitalflow.load_balancer_ip
}

output "status_url" {
  description = "Where producers ask what became of a record."
  value       = module.vitalflow.status_url
}

output "image_repository" {
  description = "Where the images are pushed."
  value       = module.vitalflow.image_repository
}

output "template_prefix" {
  description = "Where the Flex Template is written."
  value       = module.vitalflow.template_prefix
}

output "add_key_commands" {
  description = "What adds a first API key, by resource."
  value       = module.vitalflow.add_key_commands
}

output "dashboard" {
  description = "The dashboard's id."
  value       = module.vitalflow.dashboard
}
