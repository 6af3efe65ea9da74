"""The work that is measured, a module each. `measure(rig, …)` does it once with a running server."""
