package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFromVariables(t *testing.T) {
	t.Parallel()
	// The variables of DeployEx's README, for a bucket that is a folder.
	c, err := FromVariables([]string{
		"HOME=/root", "DEPLOYEX_ERLANG_COOKIE=cookie", "DEPLOYEX_SECRETS_ADAPTER=env", "DEPLOYEX_MONITORED_APP_NAME=myphoenixapp",
		"DEPLOYEX_MONITORED_APP_LANG=elixir", "DEPLOYEX_STORAGE_ADAPTER=local", "DEPLOYEX_RELEASE_BUCKET=/srv/bucket",
		"DEPLOYEX_CLOUD_ENVIRONMENT=prod", "DEPLOYEX_PHX_SERVER=true", "DEPLOYEX_PHX_HOST=example.com", "DEPLOYEX_PHX_PORT=5001",
		"DEPLOYEX_MONITORED_APP_PORT=4500", "DEPLOYEX_MONITORED_REPLICAS=2", "DEPLOYEX_DEPLOY_TIMEOUT_ROLLBACK_MS=600000",
		"DEPLOYEX_DEPLOY_SCHEDULE_INTERVAL_MS=7000", "AWS_REGION=", "RELEASE_COOKIE=cookie",
	})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Applications[0]
	if a.Name != "myphoenixapp" || a.Replicas != 2 || a.DeployScheduleInterval != 7*time.Second || !slices.Equal(a.ReplicaPorts, []ReplicaPort{{"PORT", 4500}}) {
		t.Errorf("app %+v", a)
	}
	if c.AccountName != "prod" || c.ReleaseBucket != "/srv/bucket" || c.ReleaseAdapter != ReleaseLocal || c.SecretsAdapter != SecretsEnv || c.FromFile {
		t.Errorf("config %s", c.Show())
	}
}

func TestFromVariables_DefaultsAreDeployExs(t *testing.T) {
	t.Parallel()
	c, err := FromVariables([]string{"DEPLOYEX_MONITORED_APP_NAME=shop"})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Applications[0]; a.Replicas != 3 || a.Language != Elixir || a.ReplicaPorts[0].Base != 4000 || a.DeployScheduleInterval != 5*time.Second {
		t.Errorf("app %+v", a)
	}
}

func TestFromVariables_ProblemsNameTheVariable(t *testing.T) {
	t.Parallel()
	_, err := FromVariables([]string{
		"DEPLOYEX_MONITORED_APP_NAME=my app", "DEPLOYEX_MONITORED_REPLICAS=many", "DEPLOYEX_MONITORED_REPLCAS=2", "DEPLOYEX_RELEASE_ADAPTER=s3",
	})
	var bad *Error
	if !errors.As(err, &bad) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{
		"DEPLOYEX_MONITORED_APP_NAME: ", "DEPLOYEX_MONITORED_REPLICAS: must be a whole number",
		"DEPLOYEX_MONITORED_REPLCAS: unknown variable; did you mean DEPLOYEX_MONITORED_REPLICAS?", "DEPLOYEX_RELEASE_ADAPTER: release_bucket is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}
