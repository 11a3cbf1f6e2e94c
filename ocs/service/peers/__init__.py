"""Who may connect, who is connected, by which way, and what is known of it."""
