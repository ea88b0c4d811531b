"""What we hold of other gateways: keys and certificates, their releases, and grants over there."""
