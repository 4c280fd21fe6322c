"""The vocabulary of the gateway: frozen values, refusals, time, secrets, strict JSON. No I/O."""
