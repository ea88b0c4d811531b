"""The server below the application: uvicorn, HTTP, TLS, the PROXY protocol."""
