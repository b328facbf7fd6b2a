module "birds" {
  source = "../../aws"

  app          = "birds"
  language     = "gleam"
  hostname     = "birds.example.org"
  bucket       = "birds-releases-example"
  secrets_path = "beamkeeper-birds-prod"

  region    = "eu-central-1"
  vpc_id    = "vpc-00000000000000000"
  subnet_id = "subnet-00000000000000000"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.birds.address
}
