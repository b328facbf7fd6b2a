package secrets

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

// fetchTimeout bounds one question to a store in a cloud, with its repetitions.
const fetchTimeout = 20 * time.Second

// awsStore is one secret of AWS Secrets Manager, a JSON object, as DeployEx has it.
type awsStore struct {
	o StoreOptions

	mu  sync.Mutex
	api *secretsmanager.Client // nil: not made yet
}

func newAWS(o StoreOptions) Store { return &awsStore{o: o} }

func (s *awsStore) String() string { return "AWS Secrets Manager, " + s.o.Path }

func (s *awsStore) client(ctx context.Context) (*secretsmanager.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.api != nil {
		return s.api, nil
	}
	var load []func(*config.LoadOptions) error
	if s.o.Region != "" {
		load = append(load, config.WithRegion(s.o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	s.api = secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
		if s.o.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.o.Endpoint)
		}
	})
	return s.api, nil
}

// Fetch implements Store.
func (s *awsStore) Fetch(ctx context.Context) (map[string]Secret, error) {
	if s.o.Path == "" {
		return nil, &StoreError{Store: "AWS Secrets Manager", Reason: errEmptyPath.Error(), Err: errEmptyPath}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	api, err := s.client(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	out, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.o.Path)})
	if err != nil {
		return nil, s.explain(err)
	}
	if out.SecretString == nil {
		return nil, &StoreError{Store: s.String(), Reason: "it holds bytes, not text", Remedy: "store a JSON object"}
	}
	return parseObject(s.String(), []byte(*out.SecretString))
}

// explain says in words what AWS answered.
func (s *awsStore) explain(err error) error {
	e := &StoreError{Store: s.String(), Reason: err.Error(), Err: err}
	var answer smithy.APIError
	if errors.As(err, &answer) {
		e.Reason = answer.ErrorCode()
		if m := answer.ErrorMessage(); m != "" {
			e.Reason += ": " + m
		}
		switch answer.ErrorCode() {
		case "AccessDeniedException":
			e.Remedy = "allow secretsmanager:GetSecretValue on it, and kms:Decrypt where it has a key of its own"
		case "ResourceNotFoundException":
			e.Remedy = "look at secrets_path and aws_region"
		}
	}
	return e
}
