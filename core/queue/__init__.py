"""Messages and who works on them: Dramatiq's broker on Redis, slots, leases, how jobs stand."""
