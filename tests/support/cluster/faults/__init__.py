"""What machines and networks do to a cluster of three daemons, a primary with a standby, and three NATS servers."""
