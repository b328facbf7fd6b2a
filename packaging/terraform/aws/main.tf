# One host that runs an app under beamkeeper, its bucket of releases, and the least rights for both.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"]

  filter {
    name   = "name"
    values = ["debian-13-amd64-*"]
  }
}

data "aws_secretsmanager_secret" "cookie" {
  name = var.secrets_path
}

resource "aws_s3_bucket" "releases" {
  bucket = var.bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "releases" {
  bucket                  = aws_s3_bucket.releases.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "releases" {
  bucket = aws_s3_bucket.releases.id

  versioning_configuration {
    status = "Enabled"
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "host" {
  statement {
    sid       = "ReadReleases"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.releases.arn}/dist/*", "${aws_s3_bucket.releases.arn}/versions/*"]
  }

  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.releases.arn]
  }

  statement {
    sid       = "ReadCookie"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [data.aws_secretsmanager_secret.cookie.arn]
  }
}

resource "aws_iam_role" "host" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "host" {
  name   = "releases"
  role   = aws_iam_role.host.id
  policy = data.aws_iam_policy_document.host.json
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "host" {
  name = var.name
  role = aws_iam_role.host.name
}

resource "aws_security_group" "host" {
  name        = var.name
  description = "HTTP and HTTPS for everybody, SSH for those named, nothing of the Erlang distribution"
  vpc_id      = var.vpc_id
  tags        = var.tags

  dynamic "ingress" {
    for_each = toset([80, 443])

    content {
      from_port        = ingress.value
      to_port          = ingress.value
      protocol         = "tcp"
      cidr_blocks      = ["0.0.0.0/0"]
      ipv6_cidr_blocks = ["::/0"]
    }
  }

  dynamic "ingress" {
    for_each = toset(var.ssh_cidrs)

    content {
      from_port   = 22
      to_port     = 22
      protocol    = "tcp"
      cidr_blocks = [ingress.value]
    }
  }

  egress {
    from_port        = 0
    to_port          = 0
    protocol         = "-1"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

resource "aws_instance" "host" {
  ami                    = data.aws_ami.debian.id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.host.id]
  iam_instance_profile   = aws_iam_instance_profile.host.name
  tags                   = merge(var.tags, { Name = var.name })

  user_data = templatefile("${path.module}/../cloud-init/user-data.yaml.tftpl", {
    app            = var.app
    language       = var.language
    account_name   = var.account_name
    replicas       = var.replicas
    port           = var.port
    hostname       = var.hostname
    package_url    = var.package_url
    package_sha256 = var.package_sha256

    source = {
      release_adapter = "s3"
      release_bucket  = aws_s3_bucket.releases.bucket
      secrets_adapter = "aws"
      secrets_path    = var.secrets_path
      aws_region      = var.region
    }
  })

  metadata_options {
    http_tokens = "required"
  }

  root_block_device {
    volume_size = var.disk_gib
    encrypted   = true
  }
}

resource "aws_eip" "host" {
  instance = aws_instance.host.id
  tags     = var.tags
}

output "address" {
  description = "Public address of the host."
  value       = aws_eip.host.public_ip
}

output "bucket" {
  description = "Where CI publishes to."
  value       = aws_s3_bucket.releases.bucket
}
