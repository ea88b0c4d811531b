"""The only home of YAML: parse with marks, models, compile to core values, write."""
