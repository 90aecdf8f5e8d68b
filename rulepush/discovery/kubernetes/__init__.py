"""kubernetes_sd_configs: targets from the API of a Kubernetes cluster, listed once and then watched."""
