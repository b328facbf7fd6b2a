module "ledger" {
  source = "../../gcp"

  app          = "ledger"
  language     = "erlang"
  hostname     = "ledger.example.org"
  bucket       = "ledger-releases-example"
  secrets_path = "beamkeeper-ledger-prod"

  project = "example-project"
  region  = "europe-west3"
  zone    = "europe-west3-a"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.ledger.address
}
