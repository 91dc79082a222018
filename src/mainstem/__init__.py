"""mainstem: a self-hosted customer data platform."""
