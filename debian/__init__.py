"""The Debian package. `make deb` builds it."""
