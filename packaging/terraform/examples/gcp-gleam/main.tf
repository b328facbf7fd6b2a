module "birds" {
  source = "../../gcp"

  app          = "birds"
  language     = "gleam"
  hostname     = "birds.example.org"
  bucket       = "birds-releases-example"
  secrets_path = "beamkeeper-birds-prod"

  project = "example-project"
  region  = "europe-west3"
  zone    = "europe-west3-a"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.birds.address
}
