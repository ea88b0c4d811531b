"""What verbs do, without a command line."""
