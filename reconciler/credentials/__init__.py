"""A credential outside the database: the folder and the Secret that others read, and the hook."""
