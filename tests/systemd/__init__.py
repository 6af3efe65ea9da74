"""Tests of roomd under a real systemd, which boots in namespaces of its own."""
