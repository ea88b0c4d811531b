"""The pages of the private listener: read-only, for people who would rather look than type."""
