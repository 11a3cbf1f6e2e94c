"""What happens without a credit-control request: expiries, restarts, other ends of sessions."""
