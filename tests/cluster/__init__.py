"""The whole system on a Kubernetes with Knative, brought up by `kubectl apply -k k8s/`."""
