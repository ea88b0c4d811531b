"""Whether a certificate has authority now: the header it arrives in, the decision, its use."""
