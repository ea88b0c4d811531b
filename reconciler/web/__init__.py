"""The only home of Starlette and uvicorn: what peers reach over HTTPS."""
