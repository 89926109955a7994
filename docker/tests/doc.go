// Package tests has the tests that run in the network of docker/compose.yaml, where each server is a machine of its own
// with a name in DNS: Apache, Squid, KDCs and the curl of another host. They stand under the build tag docker, and
// make docker-test runs them.
package tests
