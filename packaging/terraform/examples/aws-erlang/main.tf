module "ledger" {
  source = "../../aws"

  app          = "ledger"
  language     = "erlang"
  hostname     = "ledger.example.org"
  bucket       = "ledger-releases-example"
  secrets_path = "beamkeeper-ledger-prod"

  region    = "eu-central-1"
  vpc_id    = "vpc-00000000000000000"
  subnet_id = "subnet-00000000000000000"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.ledger.address
}
