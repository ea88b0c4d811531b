"""What verbs share: options, output, errors."""
