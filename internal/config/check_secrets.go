package config

import "fmt"

// checkSecrets looks at where secrets come from.
func (p *parser) checkSecrets(c *Config) {
	switch c.SecretsAdapter {
	case SecretsAWS, SecretsGCP, SecretsFile:
		if c.SecretsPath == "" {
			p.at(KindMissing, "secrets_path", "the name of the secret in the cloud, or the path of the file or folder", "missing with secrets_adapter %s", c.SecretsAdapter)
		}
	}
	if c.Secrets.Endpoint != "" {
		p.checkURL("secrets.endpoint", c.Secrets.Endpoint, "http", "https")
	}
	for i, a := range c.Applications {
		for j, s := range a.Secrets {
			at := fmt.Sprintf("applications[%d].secrets[%d]", i, j)
			if s.Env == "" && s.File == "" && s.Key != "" {
				p.at(KindMissing, at, "give env, file, or both", "the secret %q becomes nothing", s.Key)
			}
			for _, e := range a.Env {
				if s.Env != "" && e.Key == s.Env {
					p.at(KindDuplicate, at+".env", "remove one of the two", "%s is set by env already", s.Env)
				}
			}
		}
	}
}
