"""YAML as it is written: its events, its values with or without their places, and its tokens."""
