"""The step-ca of a home: its program, its files and its process."""
