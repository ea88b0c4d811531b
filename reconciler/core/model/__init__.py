"""What the gateway is about, as values: specs, scopes, states, rows, ids, times and text."""
