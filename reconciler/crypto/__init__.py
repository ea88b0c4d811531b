"""The only home of cryptography and JOSE: keys, certificates, seals, proofs, tokens for the CA."""
