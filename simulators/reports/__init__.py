"""What a run measured, counted while it goes on and summed up at its end."""
