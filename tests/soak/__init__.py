"""Hours of a hostile world in minutes: `make soak ARGS=hostile`."""
