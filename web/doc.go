// Package web serves the control API: JSON over HTTP, versioned under /v1, on a unix socket and, read-only, on TCP.
//
// The paths:
//
//	GET  /health                                        DeployEx's shape: {"status":"ok","timestamp":…}
//	GET  /v1/status
//	GET  /v1/nodes
//	GET  /v1/apps/{app}/history
//	POST /v1/apps/{app}/{start|stop|restart}
//	POST /v1/apps/{app}/instances/{instance}/{start|stop|restart}
//	POST /v1/apps/{app}/poll                            looks at the bucket now; over TCP too, with a token
//	POST /v1/apps/{app}/scale                           {"replicas":2}
//	POST /v1/apps/{app}/plan                            api.PlanRequest; what a deployment would do
//	POST /v1/deployments                                api.DeployRequest; answers 202 and the deployment
//	GET  /v1/deployments?app=&limit=
//	GET  /v1/deployments/{id}
//	POST /v1/deployments/{id}/abort
//	POST /v1/deployments/{id}/commit                    {"kill_lingering":false}; answers 202 and the deployment
//	POST /v1/deployments/{id}/revert                    answers 202 and the deployment that does it
//	POST /v1/rpc                                        api.RPCRequest
//	GET  /v1/events?since=&follow=                      server-sent events; Last-Event-ID wins over since
//	GET  /v1/logs?app=&instance=&all=&stream=&lines=&since=&until=&level=&grep=&invert=&follow=   one JSON object per line
//
// Every error is an api.Error as JSON with the HTTP status that belongs to its code. A stream that fails after it
// began ends with the error: an SSE event named failure, or a line {"error":{…}}.
//
// The package knows the control API through api.Control alone. A client is in web/client.
package web
