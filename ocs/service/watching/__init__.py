"""What the server shows of itself: metrics, logs, the status port."""
