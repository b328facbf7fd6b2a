module "shop" {
  source = "../../aws"

  app          = "shop"
  language     = "elixir"
  hostname     = "shop.example.org"
  bucket       = "shop-releases-example"
  secrets_path = "beamkeeper-shop-prod"

  region    = "eu-central-1"
  vpc_id    = "vpc-00000000000000000"
  subnet_id = "subnet-00000000000000000"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.shop.address
}
