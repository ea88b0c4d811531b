"""The PostgreSQL server of a home: its programs, its data, its account and its process."""
