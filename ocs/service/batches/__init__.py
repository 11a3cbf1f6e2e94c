"""From a neutral request to its durable reply: queue, batch, look-up, decision, commit."""
