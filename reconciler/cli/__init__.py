"""The only home of click: one file a verb."""
